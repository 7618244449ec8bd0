"""What a pod sees of a cached model, on real nodes: mounts, rights, and who comes when."""

from __future__ import annotations

import json
import time

import pytest

from realcluster.deployment import DEMO, Deployment
from realcluster.network import CommandFailed

READ_SECONDS = 60
POD = "serving.kserve.io/inferenceservice"
_SERVICE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {{name: {name}, namespace: localmodel-demo}}
spec:
  predictor:
    minReplicas: 1
    serviceAccountName: demo
    model: {{modelFormat: {{name: huggingface}}, storageUri: "s3://models/assistant"}}
    containers:
      - name: kserve-container
        image: localmodel/simulator:0.1.0
        command: [python, -m, cachesim.containers.reader]
        args: [--model_dir=/mnt/models]
"""


def serving_pod(deployed: Deployment, service: str) -> str:
    """The name of the service's pod, once it is Ready."""
    of_it = ("pod", f"--selector={POD}={service}")
    deployed.kubectl("-n", DEMO, "wait", "--for=create", *of_it, "--timeout=30s")
    deployed.kubectl("-n", DEMO, "wait", "--for=condition=Ready", *of_it, "--timeout=60s")
    return deployed.kubectl("-n", DEMO, "get", *of_it, "--output=jsonpath={.items[0].metadata.name}")


def read_by(deployed: Deployment, pod: str) -> dict[str, object]:
    """What the serving container says of the model, once it has read it."""
    deadline = time.monotonic() + READ_SECONDS
    while not (said := deployed.kubectl("-n", DEMO, "logs", pod, "--container=kserve-container")):
        assert time.monotonic() < deadline, "it has not read its model"
        time.sleep(0.2)
    read: dict[str, object] = json.loads(said.splitlines()[-1])
    return read


def test_a_pod_that_came_before_the_copy_reads_the_whole_model(deployed: Deployment) -> None:
    pod = serving_pod(deployed, "assistant")
    assert read_by(deployed, pod)["digest"] == deployed.digest
    guard = deployed.kubectl("-n", DEMO, "get", "pod", pod, "--output=jsonpath={.spec.initContainers[*].image}")
    assert guard == "localmodel/agent:0.1.0"


def test_a_pod_that_comes_after_the_copy_reads_the_whole_model(deployed: Deployment) -> None:
    deployed.kubectl("apply", "--filename=-", given=_SERVICE.format(name="later"))
    try:
        assert read_by(deployed, serving_pod(deployed, "later"))["digest"] == deployed.digest
    finally:
        deployed.kubectl("-n", DEMO, "delete", "inferenceservice/later")


def test_a_pod_may_not_write_to_its_model(deployed: Deployment) -> None:
    pod = serving_pod(deployed, "assistant")
    with pytest.raises(CommandFailed, match="Read-only file system"):
        deployed.kubectl("-n", DEMO, "exec", pod, "--container=kserve-container", "--", "touch", "/mnt/models/mine")


def test_a_pod_sees_no_more_of_the_disk_than_its_model(deployed: Deployment) -> None:
    pod = serving_pod(deployed, "assistant")
    mounts = deployed.kubectl(
        "-n", DEMO, "exec", pod, "--container=kserve-container", "--", "cat", "/proc/self/mountinfo"
    )
    # The fields of proc(5): number, parent, device, root, mount point, options.
    [root] = [line.split()[3] for line in mounts.splitlines() if line.split()[4] == "/mnt/models"]
    _, _, model = root.rpartition("/models/")
    assert model
    assert "/" not in model
    assert not [line for line in mounts.splitlines() if line.split()[3].endswith(("/disk", "/models"))]
