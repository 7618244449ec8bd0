"""The guard of tests/conftest.py: tests speak to loopback only."""

from __future__ import annotations

import socket

import pytest


def test_a_connection_that_leaves_the_machine_is_refused() -> None:
    with socket.socket() as connection, pytest.raises(AssertionError, match="loopback only"):
        connection.connect(("192.0.2.1", 80))


def test_a_connection_to_loopback_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as connection:
        connection.connect(server.getsockname())
        assert connection.getpeername() == server.getsockname()
