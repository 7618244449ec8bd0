"""One cluster of real nodes for all tests here, with localmodel on it as deploy/overlays/demo has it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import images
import images_contents
from cachesim.controlplane.options import KubeOptions
from realcluster.cluster import ClusterOptions, RealCluster
from realcluster.deployment import Deployment
from realcluster.faults import PATIENCE_SECONDS, FaultField, until
from realcluster.occasions import Occasions
from realcluster.requirements import missing

# What a cluster takes to come up with its images built anew is longer than any test of ours may take.
UP_SECONDS = 600
# Faults take up to a minute each: where there is no time for all, one is tried of so many.
FAULTS_STEP = int(os.environ.get("LOCALMODEL_TEST_FAULTS_STEP", "1"))
# What a property of a test is called that holds the seconds until a fault had healed.
HEALED = "healed: "


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(UP_SECONDS))
    # The demo wants a cluster without localmodel; what the others see is one that nothing has happened to, in its audit
    # log too.
    faults = [item for item in items if item.path.name.startswith("test_faults")]
    demos = [item for item in items if item.path.name == "test_demo.py"]
    others = [item for item in items if item not in faults and item not in demos]
    everything = [*demos, *others, *faults]
    # An interrupted demo is a fault too, that has to come first.
    whole = [item for item in demos if FAULTS_STEP == 1 or "interrupted" not in item.name]
    items[:] = [*whole, *others, *faults[::FAULTS_STEP]]
    if left_out := [item for item in everything if item not in items]:
        config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What each fault took to heal."""
    healed = [
        (name, value)
        for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed"))
        for name, value in (report.user_properties if report.when == "call" else ())
        if name.startswith(HEALED)
    ]
    if healed:
        terminalreporter.section("seconds until all was well again")
    for name, value in healed:
        terminalreporter.write_line(f"{value:6.1f}  {name.removeprefix(HEALED)}")


@pytest.fixture(scope="session")
def able() -> None:
    """This machine can have real nodes; else what needs them is skipped, saying what is missing."""
    if lacks := [*missing(), *images_contents.missing()]:
        pytest.skip(f"real nodes with our images need {'; '.join(lacks)}")


@pytest.fixture(scope="session")
def cluster(able: None) -> Iterator[RealCluster]:
    """Two nodes, Ready, that have our images; every request of their API server is in the audit log."""
    archives = tuple(images.build().values())
    # As on OpenShift: whoever makes an object with an owner needs a right to that owner.
    plugins = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement"
    plane = KubeOptions(node_grace_seconds=10.0, audit=True, flags={"kube-apiserver": (plugins,)})
    with RealCluster(ClusterOptions(images=archives, control_plane=plane)) as real:
        yield real


@pytest.fixture(scope="session")
def ended(deployed: Deployment) -> Deployment:
    """The story is over: its service and its cache were deleted."""
    deployed.uninstall_story()
    return deployed


@pytest.fixture(scope="session")
def deployed(cluster: RealCluster) -> Deployment:
    deployment = Deployment(cluster)
    deployment.install()
    return deployment


@pytest.fixture(scope="session")
def occasions(deployed: Deployment) -> Occasions:
    """All that happens only now and then has happened."""
    made = Occasions(deployed)
    try:
        made.bring()
    finally:
        made.end()
    return made


@pytest.fixture(scope="session")
def field(deployed: Deployment) -> Iterator[FaultField]:
    """A pod reads its model, whatever happens, and safety is watched all the while."""
    with FaultField(deployed) as made:
        yield made


@pytest.fixture
def heals(field: FaultField, request: pytest.FixtureRequest) -> Iterator[Callable[..., float]]:
    """`heals(name, check)` waits until the check passes; its seconds, or those since a moment, are told at the end.

    After the test, nothing unsafe may have been seen.
    """

    def wait(fault: str, check: Callable[[], object], *, since: float | None = None) -> float:
        earlier_seconds = 0.0 if since is None else time.monotonic() - since
        seconds = earlier_seconds + until(check, PATIENCE_SECONDS - earlier_seconds)
        request.node.user_properties.append((f"{HEALED}{fault}", round(seconds, 1)))
        return seconds

    yield wait
    field.safety.check()


@pytest.fixture
def story(field: FaultField) -> Iterator[None]:
    """Afterwards the story's service and cache are deleted, and nothing is left of them."""
    yield
    field.delete(field.story)
    until(lambda: field.gone(field.story))
