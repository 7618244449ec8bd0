"""One cluster of real nodes for all tests here, with localmodel on it as deploy/overlays/demo has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import images
from cachesim.controlplane.options import KubeOptions
from realcluster.cluster import ClusterOptions, RealCluster
from realcluster.deployment import Deployment
from realcluster.requirements import missing

# What a cluster takes to come up with its images built anew is longer than any test of ours may take.
UP_SECONDS = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(UP_SECONDS))


@pytest.fixture(scope="session")
def able() -> None:
    """This machine can have real nodes; else what needs them is skipped, saying what is missing."""
    if lacks := missing():
        pytest.skip(f"real nodes need {'; '.join(lacks)}")


@pytest.fixture(scope="session")
def cluster(able: None) -> Iterator[RealCluster]:
    """Two nodes, Ready, that have our images; every request of their API server is in the audit log."""
    archives = tuple(images.build().values())
    plane = KubeOptions(node_grace_seconds=10.0, audit=True)
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
