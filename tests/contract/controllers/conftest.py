"""Every test of this folder is a coroutine that takes `cluster`: a server of the suite with controllers beside it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol, cast

import pytest

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.ports import ClusterClient, Runtime
from cachecore.testing import VirtualRuntime
from cachesim.apiserver import ApiServer, InMemoryClient
from cachesim.apiserver.builtin import NAMESPACE, SERVICE_ACCOUNT
from cachesim.apiserver.http import HttpFront
from cachesim.apiserver.http.raw_client import HttpVerbs
from cachesim.apiserver.testing import typed
from cachesim.apiserver.verbs import RawVerbs
from cachesim.binder import VolumeBinder
from cachesim.controlplane.testing import LivePlane
from cachesim.node import LifecycleOptions, NodeLifecycle
from cachesim.node.testing import ContractCluster
from cachesim.scheduler import Scheduler

ClusterTest = Callable[[ContractCluster], Coroutine[Any, Any, None]]

# As impatient as the real control plane of this session, or more: see `live_plane`.
LIFECYCLE = LifecycleOptions(period_seconds=0.5, lease_grace_seconds=3.0, eviction_rate=100.0)


class ClusterServer(Protocol):
    """One kind of server with its controllers."""

    def run(self, test: ClusterTest) -> None: ...


class MemoryCluster:
    """The in-memory server and our stand-ins for its controllers, on virtual time."""

    def run(self, test: ClusterTest) -> None:
        runtime = VirtualRuntime()

        async def main() -> None:
            server = await _server(runtime)
            await _run(test, server, runtime, InMemoryClient(server), namespace="contract")

        runtime.run(main())


class HttpCluster:
    """The same in real time; the test, but not the stand-ins, speaks HTTP."""

    def run(self, test: ClusterTest) -> None:
        asyncio.run(self._run(test))

    async def _run(self, test: ClusterTest) -> None:
        runtime = AsyncioRuntime()
        server = await _server(runtime)
        async with HttpFront(server) as front, HttpVerbs(front.url) as verbs:
            await _run(test, verbs, runtime, InMemoryClient(server), namespace="contract")


class KubeCluster:
    """A real control plane, whose own controllers are at work; nodes are our kubelet on the production client."""

    def __init__(self, live: LivePlane, client: ClusterClient, namespace: str) -> None:
        self._live = live
        self._client = client
        self._namespace = namespace

    def run(self, test: ClusterTest) -> None:
        self._live.run(self._run(test))

    async def _run(self, test: ClusterTest) -> None:
        verbs = self._live.plane.verbs
        await verbs.create(NAMESPACE, typed(NAMESPACE, {"metadata": {"name": self._namespace}}))

        async def with_account(cluster: ContractCluster) -> None:
            # Without it no pod is admitted; a controller makes it soon after the namespace.
            await cluster.eventually(lambda: cluster.exists(SERVICE_ACCOUNT, "default"))
            await test(cluster)

        await _run(with_account, verbs, AsyncioRuntime(), self._client, namespace=self._namespace)


async def _server(runtime: Runtime) -> ApiServer:
    """The in-memory server with the stand-ins for the controller manager and the scheduler beside it."""
    server = ApiServer(runtime)
    server.spawn_controllers()
    client = InMemoryClient(server)
    for controller in (
        VolumeBinder(runtime, client),
        Scheduler(runtime, client),
        NodeLifecycle(runtime, client, LIFECYCLE),
    ):
        runtime.spawn(controller.run(), name=type(controller).__name__)
    await server.create(NAMESPACE, typed(NAMESPACE, {"metadata": {"name": "contract"}}))
    return server


async def _run(test: ClusterTest, verbs: RawVerbs, runtime: Runtime, client: ClusterClient, *, namespace: str) -> None:
    async with _closing(ContractCluster(verbs, runtime, client, namespace=namespace)) as cluster:
        await test(cluster)


@contextlib.asynccontextmanager
async def _closing(cluster: ContractCluster) -> AsyncIterator[ContractCluster]:
    try:
        yield cluster
    finally:
        await cluster.close()


NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def kubelet_client(live_plane: LivePlane) -> ClusterClient:
    """What the stand-in nodes speak to the real API server with."""
    return live_plane.run(live_plane.plane.client("kubelet"))


@pytest.fixture(params=("http", pytest.param("kube", marks=pytest.mark.control_plane), "memory"))
def cluster(request: pytest.FixtureRequest) -> ClusterServer:
    """What a test asks for; it gets the `ContractCluster` that the server makes when the test runs."""
    if request.param == "memory":
        return MemoryCluster()
    if request.param == "http":
        return HttpCluster()
    live: LivePlane = request.getfixturevalue("live_plane")
    return KubeCluster(live, request.getfixturevalue("kubelet_client"), f"cluster-{next(NUMBERS)}")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test on its cluster."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj) or "cluster" not in pyfuncitem.funcargs:
        return None
    names = list(inspect.signature(pyfuncitem.obj).parameters)
    others: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names if name != "cluster"}

    async def test(cluster: ContractCluster) -> None:
        await pyfuncitem.obj(cluster, **others)

    server = cast("ClusterServer", pyfuncitem.funcargs["cluster"])
    server.run(test)
    return True
