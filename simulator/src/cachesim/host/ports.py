"""Ports of this machine: bound by us, or kept for a service that binds its own a moment later."""

from __future__ import annotations

import errno
import socket

from cachecore.errors import InvalidInput

ADDRESS = "127.0.0.1"


def bind(address: str, port: int) -> socket.socket:
    """A bound socket. Raises InvalidInput, in one clear line, when that can't be."""
    # With the protocol named, asyncio turns Nagle's algorithm off; without it each answer waits 40 ms for an ACK.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address, port))
    except (OSError, OverflowError) as error:
        bound.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise InvalidInput(
                f"port {port} on {address} is in use: choose another one, or 0 for any free one"
            ) from error
        raise InvalidInput(f"cannot listen on {address}:{port}: {error}") from error
    return bound


def reserve_port(port: int = 0) -> socket.socket:
    """A socket that is bound to `port` (0: a free one), and keeps everybody else from being given it while it is open.

    It does not listen: a service that sets SO_REUSEADDR too can bind the same port and listen, also after a restart.
    Raises InvalidInput when somebody listens there.
    """
    return bind(ADDRESS, port)
