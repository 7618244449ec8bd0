"""The campaign's Job on Kubernetes' own controllers; what its pods would run, run as processes of this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cachecore.resources.core import Pod
from cachecore.resources.meta import from_object
from cachesim.controlplane.testing import LivePlane
from cachesim.localcluster.testing import Kubectl
from cachesim.node.environment import expand, field_value

REPOSITORY = Path(__file__).parents[3]
NAMESPACE = "localmodel-campaign"
SMALL = {"--seeds=1..400": "--seeds=1..2"}


@pytest.fixture
def kubectl(live: LivePlane, tmp_path: Path) -> Kubectl:
    if (program := shutil.which("kubectl")) is None:
        pytest.skip("kubectl not found")
    return Kubectl(program, tmp_path, live.plane.files.kubeconfig)


@pytest.fixture
def pods(kubectl: Kubectl) -> Iterator[list[dict[str, Any]]]:
    """Those of the Job as it is deployed, but for its size: two indexes of two seeds."""
    built = kubectl("kustomize", str(REPOSITORY / "deploy" / "campaign"))
    for full, small in SMALL.items():
        assert full in built
        built = built.replace(full, small)
    kubectl("apply", "-f", "-", stdin=built.replace("completions: 25", "completions: 2"))
    yield until(lambda: pods_of(kubectl), lambda found: len(found) == 2)
    kubectl("delete", "--namespace", NAMESPACE, "--cascade=foreground", "job/campaign")


def pods_of(kubectl: Kubectl) -> list[dict[str, Any]]:
    selector = "--selector=batch.kubernetes.io/job-name=campaign"
    found = json.loads(kubectl("get", "pods", "--namespace", NAMESPACE, selector, "--output=json"))["items"]
    return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


def until(look: Any, holds: Any, seconds: float = 40.0) -> Any:
    """What it sees once that holds: controllers take their time."""
    deadline = time.monotonic() + seconds
    while not holds(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    return seen


def command(pod: dict[str, Any], scenario: Path) -> list[str]:
    """As the kubelet makes it of the pod, on this machine's localmodel and with this scenario."""
    typed = from_object(Pod, pod)
    (container,) = typed.spec.containers
    variables = {
        variable.name: field_value(typed, variable.value_from.field_ref.field_path, "")
        for variable in container.env
        if variable.value_from is not None and variable.value_from.field_ref is not None
    }
    words = [expand(word, variables) for word in container.args]
    return [
        sys.executable,
        "-m",
        "cachesim.cli",
        *(word.replace("/campaign/scenario.yaml", str(scenario)) for word in words),
    ]


def ended(kubectl: Kubectl, pod: dict[str, Any], code: int) -> None:
    """What a kubelet says of a pod whose container has ended."""
    status = {
        "phase": "Failed" if code else "Succeeded",
        "containerStatuses": [
            {
                "name": "campaign",
                "image": "localmodel/simulator",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}},
            }
        ],
    }
    place = ("--namespace", NAMESPACE, "pod", pod["metadata"]["name"], "--subresource=status")
    kubectl("patch", *place, "--type=merge", "--patch", json.dumps({"status": status}))


def job_ended(kubectl: Kubectl) -> dict[str, Any]:
    def status() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(kubectl("get", "--namespace", NAMESPACE, "job/campaign", "--output=json"))
        return dict(found["status"])

    def has_ended(status: dict[str, Any]) -> bool:
        return any(each["type"] in ("Complete", "Failed") for each in status.get("conditions", ()))

    found: dict[str, Any] = until(status, has_ended)
    return found


def test_the_parts_that_its_pods_run_are_merged_into_one_campaign(
    kubectl: Kubectl, pods: list[dict[str, Any]], tmp_path: Path
) -> None:
    logs = b""
    for pod in pods:
        words = command(pod, REPOSITORY / "simulator" / "scenarios" / "small-crash.yaml")
        done = subprocess.run(words, stdout=subprocess.PIPE, check=True)
        # With what is not JSON around it, as a log may have.
        logs += b"1 of 2 plans\n" + done.stdout
        ended(kubectl, pod, 0)
    merging = [sys.executable, "-m", "cachesim.cli", "simulate", "--merge", "-", "--seeds", "1..4", "--json", "-"]
    merged = subprocess.run(merging, input=logs, stdout=subprocess.PIPE, check=True)
    outcome = json.loads(merged.stdout)
    assert (outcome["seeds"], outcome["plans"], outcome["ok"]) == ("1..4", 4, True)
    assert job_ended(kubectl)["completedIndexes"] == "0,1"


def test_a_broken_invariant_fails_its_index_once_and_the_others_go_on(
    kubectl: Kubectl, pods: list[dict[str, Any]]
) -> None:
    ended(kubectl, pods[0], 1)
    ended(kubectl, pods[1], 0)
    status = job_ended(kubectl)
    assert (status["failedIndexes"], status["completedIndexes"]) == ("0", "1")
    assert len(pods_of(kubectl)) == 2
