"""kubectl against the HTTP front of the in-memory server, over TLS and with a token, as a person uses it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from cachesim.definitions import definitions_directory
from cachesim.localcluster.testing import Kubectl, LiveServer


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """A server that has the CRDs, and kubectl that speaks to it."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl not found")
    directory = tmp_path_factory.mktemp("kubectl")
    server = LiveServer(directory)
    server.start()
    try:
        kubectl = Kubectl(program, directory, server.kubeconfig)
        kubectl("apply", "-f", str(definitions_directory().resolve()))
        yield kubectl
    finally:
        server.stop()


@pytest.fixture
def group(kubectl: Kubectl) -> Iterator[str]:
    """A node group."""
    kubectl("apply", "-f", "-", stdin=GROUP)
    yield "workers"
    kubectl("delete", "--ignore-not-found", "lmng", "workers")


@pytest.fixture
def cache(kubectl: Kubectl, group: str) -> Iterator[str]:
    """A cache in that group."""
    kubectl("apply", "-f", "-", stdin=CACHE)
    yield "iris"
    kubectl("delete", "--ignore-not-found", "lmc", "iris")


@pytest.fixture
def cache_manifest() -> str:
    return CACHE


GROUP = """
apiVersion: serving.kserve.io/v1alpha1
kind: LocalModelNodeGroup
metadata:
  name: workers
spec:
  storageLimit: 10Gi
  persistentVolumeSpec:
    capacity: {storage: 10Gi}
    accessModes: [ReadOnlyMany]
    local: {path: /var/lib/localmodel}
  persistentVolumeClaimSpec:
    accessModes: [ReadOnlyMany]
    resources: {requests: {storage: 10Gi}}
"""

CACHE = """
apiVersion: serving.kserve.io/v1alpha1
kind: LocalModelCache
metadata:
  name: iris
spec:
  sourceModelUri: s3://models/iris
  modelSize: 1Gi
  nodeGroups: [workers]
"""
