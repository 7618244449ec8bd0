"""The agents are replaced under a pod that serves: it reads on, and nothing is fetched again."""

from __future__ import annotations

import json

from realcluster.deployment import DEMO, SYSTEM, Deployment
from realcluster.pods import copies_of, s3_counters

_READ = "from cachesim.containers.reader import tree_digest; print(tree_digest('/mnt/models')[0])"
_AGENTS = "daemonset/localmodel-agent"


def model_read_in(deployed: Deployment, pod: str) -> str:
    """The digest of all that the pod sees of its model at this moment."""
    return deployed.kubectl("-n", DEMO, "exec", pod, "--container=kserve-container", "--", "python", "-c", _READ)


def agents_of(deployed: Deployment) -> set[str]:
    selector = "--selector=app.kubernetes.io/name=localmodel-agent"
    listed = json.loads(deployed.kubectl("-n", SYSTEM, "get", "pods", selector, "--output=json"))["items"]
    return {pod["metadata"]["uid"] for pod in listed if "deletionTimestamp" not in pod["metadata"]}


def states_of(deployed: Deployment) -> dict[str, str]:
    return {node: copy["state"] for node, copy in copies_of(deployed, "s3://models/assistant").items()}


def is_rolled_out(deployed: Deployment) -> bool:
    return "successfully rolled out" in deployed.kubectl("-n", SYSTEM, "rollout", "status", _AGENTS, "--watch=false")


def test_a_pod_reads_on_while_the_agents_are_replaced(deployed: Deployment) -> None:
    [pod] = deployed.kubectl(
        *("-n", DEMO, "get", "pods", "--selector=serving.kserve.io/inferenceservice=assistant"),
        "--output=jsonpath={.items[*].metadata.name}",
    ).split()
    before, fetched = agents_of(deployed), s3_counters(deployed)
    states: list[dict[str, str]] = []
    digests: list[str] = []
    deployed.kubectl("-n", SYSTEM, "rollout", "restart", _AGENTS)
    while not digests or not is_rolled_out(deployed):
        digests.append(model_read_in(deployed, pod))
        states.append(states_of(deployed))
    digests.append(model_read_in(deployed, pod))
    states.append(states_of(deployed))
    assert agents_of(deployed).isdisjoint(before)
    assert set(digests) == {deployed.digest}
    assert states == [dict.fromkeys(deployed.cluster.nodes, "Downloaded")] * len(states)
    assert s3_counters(deployed)["get_requests"] == fetched["get_requests"]
    restarts = deployed.kubectl(
        "-n", DEMO, "get", "pod", pod, "--output=jsonpath={.status.containerStatuses[*].restartCount}"
    )
    assert restarts == "0"
