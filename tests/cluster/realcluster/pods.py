"""Pods of one namespace on a cluster that has localmodel, as KServe and its users make them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from cachecore.errors import DeadlineExceeded, NotFound
from cachecore.resources.meta import JsonObject, ObjectMeta
from cachecore.resources.serving import GROUP, InferenceService
from cachesim.apiserver.builtin import EVENT, NAMESPACE, POD
from cachesim.apiserver.options import WriteOptions
from cachesim.apiserver.resources import ResourceType
from cachesim.kserve.predictor import SERVING_CONTAINER, KServeOptions, predictor_pod
from cachesim.localcluster.s3_door import COUNTERS_PATH
from realcluster.deployment import DEMO, Deployment

T = TypeVar("T")

IMAGE = "localmodel/simulator:0.1.0"
_LOCAL_MODEL_NODE = ResourceType(
    group=GROUP, version="v1alpha1", kind="LocalModelNode", plural="localmodelnodes", namespaced=False
)
_BASELINE = {"pod-security.kubernetes.io/enforce": "baseline"}
_WAIT_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_PUT = """\
import boto3
storage = boto3.client("s3", endpoint_url="http://127.0.0.1:9000", region_name="us-east-1")
for key, size_bytes in {sizes!r}.items():
    storage.put_object(Bucket="models", Key=key, Body=key[:1].encode() * size_bytes)
"""


def kserve_pod(name: str, uri: str, *, injected: bool = True, node: str = "") -> JsonObject:
    """A predictor's pod; `injected`: KServe's mutator has seen it, and it has a storage-initializer."""
    options = KServeOptions(
        storage_initializer_image=IMAGE,
        storage_initializer_command=("python", "-m", "cachesim.containers.storage_initializer"),
        serving_image=IMAGE,
        serving_command=("python", "-m", "cachesim.containers.reader"),
        inject=injected,
    )
    selector = {"kubernetes.io/hostname": node} if node else {}
    service = InferenceService(
        metadata=ObjectMeta(name=name), spec={"predictor": {"nodeSelector": selector, "model": {"storageUri": uri}}}
    )
    made = predictor_pod(service, (), options)
    # Nobody owns it: there is no such service.
    metadata = msgspec.structs.replace(made.metadata, name=name, generate_name="", owner_references=())
    made = msgspec.structs.replace(made, metadata=metadata)
    pod: JsonObject = {"apiVersion": "v1", "kind": "Pod", **msgspec.json.decode(msgspec.json.encode(made))}
    # A server that has just started does not hear that it should stop, as the first process of its container.
    pod["spec"]["terminationGracePeriodSeconds"] = 2
    return pod


def mounting_pod(name: str, volume: JsonObject, *, sub_path: str = "", **container: Any) -> JsonObject:
    """Somebody's own pod, as root, that mounts the volume at /mnt/models for writing, and waits."""
    mount = {"name": "model", "mountPath": "/mnt/models", **({"subPath": sub_path} if sub_path else {})}
    main = {
        "name": "main",
        "image": IMAGE,
        "command": ["sleep", "infinity"],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [mount],
        **container,
    }
    spec = {"terminationGracePeriodSeconds": 0, "containers": [main], "volumes": [{"name": "model", **volume}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def claim_volume(claim: str) -> JsonObject:
    return {"persistentVolumeClaim": {"claimName": claim}}


def put_objects(deployment: Deployment, sizes: dict[str, int]) -> None:
    """Objects of the demo's bucket `models`, by key: so many bytes, all of them the key's first letter."""
    script = _PUT.format(sizes=sizes)
    deployment.kubectl("-n", DEMO, "exec", "deployment/demo-s3", "--", "python", "-c", script)


class Pods:
    """Those of a namespace, which is made when there is none."""

    def __init__(self, deployment: Deployment, namespace: str) -> None:
        self.namespace = namespace
        self._deployment = deployment
        self._cluster = deployment.cluster
        self._verbs = deployment.cluster.plane.verbs
        try:
            self._cluster.run(self._verbs.get(NAMESPACE, namespace))
        except NotFound:
            made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": _BASELINE}}
            self._cluster.run(self._verbs.create(NAMESPACE, made))

    def kubectl(self, *arguments: str, given: str = "") -> str:
        return self._deployment.kubectl("-n", self.namespace, *arguments, given=given)

    def create(self, pod: JsonObject) -> JsonObject:
        """The pod as the API server has made it. Raises what it refuses."""
        return self.make(POD, pod)

    def admitted(self, pod: JsonObject) -> JsonObject:
        """The pod as it would be made."""
        return self.make(POD, pod, dry_run=True)

    def make(self, kind: ResourceType, body: JsonObject, *, dry_run: bool = False) -> JsonObject:
        """An object of another kind. Raises what the API server refuses."""
        options = WriteOptions(dry_run=dry_run)
        return self._cluster.run(self._verbs.create(kind, body, namespace=self.namespace, options=options)).object

    def get(self, name: str) -> JsonObject:
        return self._cluster.run(self._verbs.get(POD, name, self.namespace))

    def until(self, name: str, wanted: Callable[[JsonObject], bool], what: str) -> JsonObject:
        """The pod, once it is as wanted. Raises `DeadlineExceeded`."""
        return eventually(lambda: self.get(name), wanted, f"pod {name} is not {what}")

    def ready(self, name: str) -> JsonObject:
        return self.until(name, is_ready, "Ready")

    def told(self, name: str, words: str) -> str:
        """The event of the pod with those words, once there is one."""

        def messages() -> list[str]:
            listed = self._cluster.run(self._verbs.list(EVENT, namespace=self.namespace))["items"]
            return [one.get("message", "") for one in listed if one["involvedObject"]["name"] == name]

        found = eventually(messages, lambda seen: any(words in one for one in seen), f"no event of {name}: {words}")
        return next(one for one in found if words in one)

    def log(self, name: str, container: str = SERVING_CONTAINER) -> str:
        return self.kubectl("logs", name, f"--container={container}")

    def read(self, name: str) -> JsonObject:
        """What the serving container says of its model, once it has read it."""
        self.ready(name)
        said = eventually(lambda: self.log(name), bool, f"{name} has not read its model")
        read: JsonObject = json.loads(said.splitlines()[-1])
        return read

    def run(self, name: str, *command: str) -> str:
        """In its first container. Raises `CommandFailed`."""
        return self.kubectl("exec", name, "--", *command)

    def delete(self, *names: str) -> None:
        """And wait until they are gone."""
        if names:
            self.kubectl("delete", "pod", "--ignore-not-found", *names, "--timeout=60s")

    def gone(self, kind: str) -> None:
        """Until the namespace has nothing of that kind."""
        eventually(lambda: self.kubectl("get", kind, "--output=name"), lambda seen: not seen, f"there are {kind}")


def eventually(look: Callable[[], T], wanted: Callable[[T], bool], failure: str) -> T:
    """What is seen, once it is as wanted. Raises `DeadlineExceeded`, with what was seen last."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not wanted(seen := look()):
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"{failure}; last seen: {json.dumps(seen, default=str)[-3000:]}")
        time.sleep(_LOOK_SECONDS)
    return seen


def is_ready(pod: JsonObject) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def waiting(pod: JsonObject) -> JsonObject:
    """Why its first container waits: reason and message; empty when it doesn't."""
    [status, *_] = pod.get("status", {}).get("containerStatuses") or [{}]
    found: JsonObject = status.get("state", {}).get("waiting") or {}
    return found


def unscheduled(pod: JsonObject) -> str:
    """Why the scheduler finds no node for it; "" when it has not said."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return next(
        (one.get("message", "") for one in conditions if one["type"] == "PodScheduled" and one["status"] == "False"), ""
    )


def copies_of(deployment: Deployment, uri: str) -> dict[str, JsonObject]:
    """By node, what its agent says of the model's copy."""
    nodes = deployment.cluster.run(deployment.cluster.plane.verbs.list(_LOCAL_MODEL_NODE))["items"]
    return {
        node["metadata"]["name"]: one
        for node in nodes
        for one in node.get("status", {}).get("models") or ()
        if one["sourceModelUri"] == uri
    }


def s3_counters(deployment: Deployment) -> dict[str, int]:
    """What the demo's S3 has been asked for so far."""
    service = f"/api/v1/namespaces/{DEMO}/services/demo-s3:9000/proxy"
    counters: dict[str, int] = json.loads(deployment.kubectl("get", "--raw", f"{service}{COUNTERS_PATH}"))
    return counters
