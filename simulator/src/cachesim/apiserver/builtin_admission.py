"""What the server itself adds to new nodes and pods: they are neither trusted nor given up too soon."""

from __future__ import annotations

from cachesim.apiserver.resources import JsonObject

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
_PATIENCE_SECONDS = 300


_NODE_INFO = (
    "architecture",
    "bootID",
    "containerRuntimeVersion",
    "kernelVersion",
    "kubeProxyVersion",
    "kubeletVersion",
    "machineID",
    "operatingSystem",
    "osImage",
    "systemUUID",
)


def new_node(node: JsonObject) -> JsonObject:
    """A node as it is stored first: what its kubelet has not said yet is empty, and no pod may come."""
    known = node.get("status") or {}
    status = {
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
        **known,
        "nodeInfo": {**dict.fromkeys(_NODE_INFO, ""), **(known.get("nodeInfo") or {})},
    }
    return {**_with_not_ready_taint(node), "status": status}


def _with_not_ready_taint(node: JsonObject) -> JsonObject:
    """TaintNodesByCondition: no pod goes to a new node before the lifecycle controller has seen it ready."""
    spec = node.get("spec") or {}
    taints = spec.get("taints") or []
    if any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
        return node
    return {**node, "spec": {**spec, "taints": [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]}}


def with_patience(pod: JsonObject) -> JsonObject:
    """DefaultTolerationSeconds: five minutes, for pods that say nothing of it themselves."""
    spec = pod.get("spec") or {}
    tolerations = spec.get("tolerations") or []
    added = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _PATIENCE_SECONDS}
        for key in (NOT_READY, UNREACHABLE)
        if not any(_concerns(toleration, key) for toleration in tolerations)
    ]
    return {**pod, "spec": {**spec, "tolerations": [*tolerations, *added]}} if added else pod


def gated_conditions(pod: JsonObject) -> list[JsonObject]:
    """What a new pod with scheduling gates says of itself."""
    if not (pod.get("spec") or {}).get("schedulingGates"):
        return []
    message = "Scheduling is blocked due to non-empty scheduling gates"
    return [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": message}]


def _concerns(toleration: JsonObject, key: str) -> bool:
    """Whether it is about evictions for that reason: how long, or with which operator, does not matter."""
    return (toleration.get("key") or key) == key and toleration.get("effect", "") in ("", "NoExecute")
