"""Our clients against a real control plane: one for all tests of the folder, each with names of its own in it.

Every test is a coroutine, and runs on the loop that watches the control plane.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from cachecore import names
from cachecore.adapters.kube import KubeClient, connect
from cachesim.controlplane import KubeControlPlane, KubeOptions
from cachesim.controlplane.testing import LivePlane
from cachesim.controlplane.testing_audit import AuditLog
from cachesim.controlplane.testing_fleet import SERVICE_DEFINITION
from cachesim.controlplane.testing_manager import ManagerProcess
from cachesim.controlplane.testing_proxy import FaultProxy
from cachesim.definitions import load_definitions

MANAGERS = ("manager-a", "manager-b")
NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def live(control_plane_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlane]:
    # Nobody sends heartbeats for the nodes of these tests; they stay as they were made.
    options = KubeOptions(audit=True, node_grace_seconds=36000.0)
    live = LivePlane(tmp_path_factory.mktemp("control-plane"), options, users={user: user for user in MANAGERS})
    live.start()
    yield live
    live.stop()


@pytest.fixture
def plane(live: LivePlane) -> KubeControlPlane:
    return live.plane


@pytest.fixture(scope="session")
def defined(live: LivePlane) -> None:
    """Our kinds are served, KServe's service too, and the manager's namespace is there."""
    for definition in [*load_definitions(), SERVICE_DEFINITION]:
        live.run(live.plane.apply(definition))
    for name in (names.SYSTEM_NAMESPACE, "team-a", "team-b"):
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        live.run(live.plane.apply(body))


@pytest.fixture
def audit(live: LivePlane) -> AuditLog:
    return AuditLog(live.plane.files.audit_log)


@pytest.fixture
def namespace(live: LivePlane) -> str:
    """A namespace of the test's own."""
    name = f"test-{next(NUMBERS)}"
    live.run(live.plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
    return name


@pytest.fixture
def client(live: LivePlane) -> Iterator[KubeClient]:
    """The admin's, straight to the API server."""
    made = live.run(connect(str(live.plane.files.kubeconfig), user_agent="tester"))
    yield made
    live.run(made.close())


@pytest.fixture
def proxy(live: LivePlane) -> Iterator[FaultProxy]:
    """In front of the API server; nothing goes wrong until the test says so."""
    made = FaultProxy(live.plane.url, live.plane.tls)
    live.run(made.__aenter__())
    yield made
    live.run(made.__aexit__(None, None, None))


@pytest.fixture
def proxied(live: LivePlane, proxy: FaultProxy, tmp_path: Path) -> Iterator[KubeClient]:
    """The admin's client through the proxy."""
    path = proxy.write_kubeconfig(
        tmp_path / "proxied.kubeconfig", user="admin", token=live.plane.token(), authority=live.plane.authority
    )
    made = live.run(connect(str(path), user_agent="proxied"))
    yield made
    live.run(made.close())


@pytest.fixture
def managers(plane: KubeControlPlane, defined: None, tmp_path: Path) -> Callable[..., ManagersContext]:
    """`async with managers() as (a, b):` two managers that are not started yet, and ended in the end.

    The first one may be given another way to the API server.
    """

    @contextlib.asynccontextmanager
    async def made(first_url: str = plane.url) -> AsyncIterator[tuple[ManagerProcess, ...]]:
        processes = tuple(
            ManagerProcess(tmp_path, user, url=url, authority=plane.authority, token=plane.token(user))
            for user, url in zip(MANAGERS, (first_url, plane.url), strict=True)
        )
        try:
            yield processes
        finally:
            for process in processes:
                await process.end()

    return made


ManagersContext = contextlib.AbstractAsyncContextManager[tuple[ManagerProcess, ...]]
Check = Callable[[], Awaitable[bool]]


@pytest.fixture
def eventually() -> Callable[..., Awaitable[float]]:
    """`await eventually(check, seconds)`: answers how many seconds it took; fails with `hint()` when it takes more."""

    async def wait(check: Check, seconds: float = 30.0, hint: Callable[[], object] = str) -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        while not await check():
            if loop.time() - start > seconds:
                raise AssertionError(f"it did not happen within {seconds:g} seconds {hint()}")
            await asyncio.sleep(0.05)
        return loop.time() - start

    return wait


@pytest.fixture
def figures() -> Callable[..., None]:
    """Says what was measured: `pytest -s` shows it, and the report of a run keeps it."""

    def note(what: str, amount: float, unit: str = "s") -> None:
        sys.stdout.write(f"{what} {amount:.3g} {unit}\n")

    return note


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    live = cast("LivePlane", pyfuncitem.funcargs["live"])
    live.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True
