"""Ports for services that bind them themselves, a moment later."""

from __future__ import annotations

import socket

from cachesim.localcluster.commands import ADDRESS


def reserve_port() -> socket.socket:
    """A socket that is bound to a free port, and keeps everybody else from being given it while it is open.

    It does not listen: a service that sets SO_REUSEADDR too can bind the same port and listen, also after a restart.
    """
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind((ADDRESS, 0))
    return reserved
