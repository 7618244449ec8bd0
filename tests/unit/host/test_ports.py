from __future__ import annotations

import socket

import pytest

from cachesim.host.ports import bind, reserve_port


def test_a_reserved_port_can_be_listened_on_by_who_knows_it() -> None:
    with reserve_port() as reserved, bind("127.0.0.1", reserved.getsockname()[1]) as listening:
        listening.listen()
        with socket.create_connection(listening.getsockname()):
            pass


def test_a_reserved_port_is_nobody_elses() -> None:
    with reserve_port() as reserved, socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(reserved.getsockname())
