"""The harness itself: what it starts is real, and what it leaves is nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from realcluster.cluster import RealCluster
from realcluster.requirements import CGROUPS, missing

PACKAGE = Path(__file__).parent
SETTINGS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")


def traces() -> dict[str, list[str]]:
    """What of clusters a machine shows: mounts, cgroups, directories, networks, and settings of its kernel."""
    return {
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if "localmodel" in line],
        "cgroups": sorted(str(path) for path in CGROUPS.glob("*/localmodel-*")),
        "directories": sorted(str(path) for path in Path("/tmp").glob("localmodel-*")),
        "networks": sorted(os.listdir("/sys/class/net")),
        "settings": [Path("/proc/sys", name).read_text().strip() for name in SETTINGS],
        "hostname": [os.uname().nodename],
    }


def test_a_cluster_whose_owner_is_killed_leaves_no_trace(able: None) -> None:
    before = traces()
    process = subprocess.Popen(
        [sys.executable, "-m", "realcluster", "--nodes", "1"],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Ready: node-a,")
    assert traces()["cgroups"] != before["cgroups"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 20
    while traces() != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert traces() == before


def test_nodes_are_real(cluster: RealCluster) -> None:
    seen = cluster.run(
        cluster.kubectl("get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.containerRuntimeVersion}")
    )
    assert [version.split(":")[0] for version in seen.split()] == ["containerd", "containerd"]


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", "")
    lacks = "; ".join(missing({"KUBEBUILDER_ASSETS": "/nowhere"}))
    for words in ("root's rights", "containerd", "runc", "kubectl", "KUBEBUILDER_ASSETS=/nowhere has no etcd"):
        assert words in lacks
