"""What holds for every suite: nothing leaves this machine, and nothing of the user's own set-up leaks in."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cachesim.controlplane.binaries import NoBinaries, find_binaries

FOREIGN_SETTINGS = ("AWS_", "KUBECONFIG", "KUBERNETES_SERVICE_", "LOCALMODEL_")
# Whoever runs the suites speaks to them by these.
OWN_SETTINGS = ("LOCALMODEL_TEST_",)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that may take long begin first: run by two processes, they would be waited for by one in the end."""
    items.sort(key=_timeout_seconds, reverse=True)


def _timeout_seconds(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker is not None and marker.args else 0.0


def is_local(address: Any) -> bool:
    """Whether a socket address is of this machine: loopback, or a path (a Unix socket)."""
    if not isinstance(address, tuple):
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return bool(address[0] == "localhost")


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """A connection to anywhere else fails at once and says so, instead of hanging or, worse, working."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def refuse(address: Any) -> None:
        if not is_local(address):
            raise AssertionError(f"a test tried to reach {address}: tests speak to loopback only")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        refuse(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        refuse(address)
        return connect_ex(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        yield


@pytest.fixture(autouse=True, scope="session")
def own_environment() -> Iterator[None]:
    """Credentials, clusters and proxies of the user are out of sight, of child processes too."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(FOREIGN_SETTINGS) and not name.startswith(OWN_SETTINGS):
                patch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1,localhost,::1")
        yield


@pytest.fixture(scope="session")
def control_plane_binaries() -> Path:
    """For what needs a real Kubernetes control plane; without one it is skipped, saying what is missing."""
    try:
        return find_binaries()
    except NoBinaries as missing:
        pytest.skip(str(missing))
