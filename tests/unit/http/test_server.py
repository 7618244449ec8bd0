from __future__ import annotations

import socket

import pytest

from cachecore.errors import InvalidInput
from cachesim.host.ports import bind


def test_a_socket_names_its_protocol() -> None:
    with bind("127.0.0.1", 0) as bound:
        # Or asyncio leaves Nagle's algorithm on, and each answer takes 40 ms.
        assert bound.proto == socket.IPPROTO_TCP


def test_a_port_in_use_is_said() -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInput, match=f"port {port} on 127.0.0.1 is in use"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("address,port", [("127.0.0.1", 99999), ("not an address", 0)])
def test_an_address_that_cannot_be_is_said(address: str, port: int) -> None:
    with pytest.raises(InvalidInput, match="cannot listen on"):
        bind(address, port)
