"""`localmodel demo --kubeconfig`, as a person runs it: the story is told on the nodes, and nothing of it stays."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from cachesim.demo.outcome import DemoReport
from realcluster.cluster import RealCluster
from realcluster.deployment import OVERLAY, SYSTEM
from realcluster.network import CommandFailed, run

# Its own deadlines are shorter; the last is to see which of them it was.
STORY_SECONDS = 400.0
STEPS = [
    "start-cluster",
    "seed",
    "start-uncached",
    "apply-cache",
    "download",
    "start-cached",
    "start-more",
    "pressure",
    "come-back",
    "crash",
    "delete-all",
    "stop-cluster",
]
KINDS = (
    "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,persistentvolumes,priorityclasses,"
    "mutatingwebhookconfigurations,validatingwebhookconfigurations,validatingadmissionpolicies,"
    "validatingadmissionpolicybindings"
)


def told(cluster: RealCluster, report: Path, *arguments: str) -> DemoReport:
    kubeconfig = ("--kubeconfig", str(cluster.kubeconfig), "--overlay", str(OVERLAY))
    command = (sys.executable, "-m", "cachesim.cli", "demo", *kubeconfig, "--json", str(report), *arguments)
    try:
        cluster.run(run(*command), STORY_SECONDS)
    except CommandFailed as error:
        pytest.fail(f"{error}\n{report.read_text()}")
    return msgspec.json.decode(report.read_bytes(), type=DemoReport)


def objects(cluster: RealCluster) -> set[str]:
    return set(cluster.run(cluster.kubectl("get", KINDS, "--output=name")).splitlines())


# The second is of another model under the same address: the nodes' disks must remember nothing of the first.
@pytest.mark.parametrize("size", ["32Mi", "24Mi"])
def test_the_story_is_told_and_nothing_stays(cluster: RealCluster, tmp_path: Path, size: str) -> None:
    before = objects(cluster)
    report = told(cluster, tmp_path / "report.json", "--model-size", size)
    assert (report.ok, report.cluster) == (True, "deployed")
    assert [step.name for step in report.steps] == STEPS
    assert report.model.key not in {eviction.key for eviction in report.evictions}
    assert objects(cluster) == before


def test_a_demo_that_is_interrupted_takes_away_what_it_brought(cluster: RealCluster) -> None:
    before = objects(cluster)
    kubeconfig = ("--kubeconfig", str(cluster.kubeconfig), "--overlay", str(OVERLAY))
    demo = (sys.executable, "-m", "cachesim.cli", "demo", *kubeconfig)
    with pytest.raises(CommandFailed, match=r"ended with 130"):
        # Its namespace is there by then, and most of its pods are not.
        cluster.run(run("timeout", "--preserve-status", "--signal=INT", "6", *demo), STORY_SECONDS)
    assert not [name for name in objects(cluster) - before if SYSTEM in name]
    assert objects(cluster) == before
