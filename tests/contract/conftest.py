"""Every test of this folder is a coroutine that takes `api`, and runs on each server of the suite."""

from __future__ import annotations

import asyncio
import datetime
import inspect
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachesim.apiserver import ApiServer
from cachesim.apiserver.builtin import CUSTOM_RESOURCE_DEFINITION, NAMESPACE
from cachesim.apiserver.http import HttpFront, HttpsAdmissionCaller
from cachesim.apiserver.http.raw_client import HttpVerbs
from cachesim.apiserver.http.testing_backstage import HttpBackstage
from cachesim.apiserver.testing import ContractApi, ContractServer, ContractTest, typed
from cachesim.apiserver.testing_cluster import Cluster
from cachesim.apiserver.testing_kinds import WIDGET_DEFINITION
from cachesim.apiserver.testing_webhooks import WebhookFunctions
from cachesim.controlplane import KubeOptions
from cachesim.controlplane.testing import LivePlane
from cachesim.host.certificates import ServerCertificate, make_certificate
from cachesim.localcluster.testing import Kubectl

SERVERS = ("http", "kube", "memory")


class MemoryServer:
    """The in-memory server on virtual time, anew for each test."""

    def run(self, test: ContractTest) -> None:
        Cluster(namespace="contract").run(test)


class HttpServer:
    """The in-memory server in real time behind its HTTP front, anew for each test."""

    def __init__(self, certificate: ServerCertificate) -> None:
        self._certificate = certificate

    def run(self, test: ContractTest) -> None:
        asyncio.run(self._run(test))

    async def _run(self, test: ContractTest) -> None:
        runtime = AsyncioRuntime()
        async with HttpsAdmissionCaller() as caller:
            server = ApiServer(runtime, admission=caller)
            server.spawn_controllers()
            await server.create(NAMESPACE, typed(NAMESPACE, {"metadata": {"name": "contract"}}))
            await server.create(CUSTOM_RESOURCE_DEFINITION, WIDGET_DEFINITION)

            async def compact(revision: int) -> None:
                server.compact(revision)

            async with (
                HttpFront(server) as front,
                HttpVerbs(front.url) as verbs,
                HttpBackstage(verbs, WebhookFunctions(runtime), self._certificate, compact) as backstage,
            ):
                await test(ContractApi(verbs, runtime, namespace="contract", backstage=backstage))


class KubeServer:
    """A real control plane, one for all tests of the session; each test has a namespace of its own."""

    def __init__(self, live: LivePlane, namespace: str, certificate: ServerCertificate) -> None:
        self._live = live
        self._namespace = namespace
        self._certificate = certificate

    def run(self, test: ContractTest) -> None:
        # On the loop that outlives the test: there connections have the time to close as TLS wants it.
        self._live.run(self._run(test))

    async def _run(self, test: ContractTest) -> None:
        runtime, verbs = AsyncioRuntime(), self._live.plane.verbs
        await verbs.create(NAMESPACE, typed(NAMESPACE, {"metadata": {"name": self._namespace}}))
        functions = WebhookFunctions(runtime)
        async with HttpBackstage(verbs, functions, self._certificate, self._live.compact) as backstage:
            api = ContractApi(verbs, runtime, namespace=self._namespace, backstage=backstage)
            try:
                await test(api)
            finally:
                await api.webhooks.clear()


# Kubernetes' own periods are for clusters that live longer than a test.
IMPATIENT = KubeOptions(
    node_grace_seconds=6.0,
    flags={
        "kube-controller-manager": (
            "--node-monitor-period=1s",
            "--node-eviction-rate=100",
            "--pvclaimbinder-sync-period=1s",
        )
    },
)


@pytest.fixture(scope="session")
def live_plane(control_plane_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlane]:
    live = LivePlane(tmp_path_factory.mktemp("control-plane"), IMPATIENT)
    live.start()
    yield live
    live.stop()


@pytest.fixture(scope="session")
def kubectl(live_plane: LivePlane, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """Of the real control plane, as its admin."""
    if (program := shutil.which("kubectl")) is None:
        pytest.skip("kubectl not found")
    return Kubectl(program, tmp_path_factory.mktemp("kubectl"), live_plane.plane.files.kubeconfig)


@pytest.fixture(scope="session")
def webhook_certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    now = datetime.datetime.now(datetime.UTC)
    return make_certificate(tmp_path_factory.mktemp("webhooks"), ("127.0.0.1",), now=now)


@pytest.fixture(scope="session")
def widgets_defined(live_plane: LivePlane) -> None:
    """The suite's kind is served."""
    live_plane.run(live_plane.plane.apply(WIDGET_DEFINITION))


NUMBERS = itertools.count(1)


@pytest.fixture(params=("http", pytest.param("kube", marks=pytest.mark.control_plane), "memory"))
def contract_server(request: pytest.FixtureRequest) -> ContractServer:
    if request.param == "memory":
        return MemoryServer()
    certificate: ServerCertificate = request.getfixturevalue("webhook_certificate")
    if request.param == "http":
        return HttpServer(certificate)
    request.getfixturevalue("widgets_defined")
    live: LivePlane = request.getfixturevalue("live_plane")
    return KubeServer(live, f"contract-{next(NUMBERS)}", certificate)


@pytest.fixture
def api(contract_server: ContractServer) -> ContractServer:
    """What a test asks for; it gets the `ContractApi` that the server makes when the test runs."""
    return contract_server


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test on its server."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = list(inspect.signature(pyfuncitem.obj).parameters)
    others: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names if name != "api"}

    async def test(api: ContractApi) -> None:
        await pyfuncitem.obj(api, **others)

    server = cast("ContractServer", pyfuncitem.funcargs["api"])
    server.run(test)
    return True


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note on which server the test runs, for the count at the end."""
    call = getattr(item, "callspec", None)
    server = next((value for value in call.params.values() if value in SERVERS), None) if call else None
    if server is not None:
        item.user_properties.append(("server", server))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests each server passed: they are the same tests, so the numbers must be equal."""
    counts = [f"{server} {', '.join(_outcomes(terminalreporter, server))}" for server in SERVERS]
    terminalreporter.write_line(f"contract: {'; '.join(counts)}")


def _outcomes(reporter: pytest.TerminalReporter, server: str) -> list[str]:
    found = []
    for outcome in ("passed", "failed", "error", "skipped"):
        reports = reporter.stats.get(outcome, [])
        count = sum(("server", server) in report.user_properties for report in reports)
        if count or outcome == "passed":
            found.append(f"{count} {outcome}")
    return found
