"""Where faults happen: localmodel on real nodes, a pod that reads a model all the while, and what must come of each.

The pod runs on the node that the object store runs on; the other node is the one that things are done to.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Self

from cachecore.errors import LocalModelError
from cachecore.names import INFERENCE_SERVICE_LABEL, node_ready_label
from cachecore.store.layout import STAGING_PATH, TRASH_PATH, published_path, staging_journal_path
from cachesim.apiserver.builtin import NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD
from cachesim.apiserver.resources import ResourceType
from cachesim.containers.reader import tree_digest
from realcluster.deployment import DEMO, OVERLAY, SYSTEM, Deployment
from realcluster.node import RealNode
from realcluster.requirements import CGROUPS
from realcluster.safety import CACHE, NODE_STATE, JsonObject, Model, SafetyWatch, disk_of, published, size_bytes

# What every fault has for all to be well again.
PATIENCE_SECONDS = 60.0
LIMIT_BYTES = 200 * 2**20
# A model of 64 MiB takes four seconds.
GROUP = {"spec": {"storageLimit": str(LIMIT_BYTES), "bandwidthLimit": "16Mi"}}
_READER = {
    "name": "kserve-container",
    "image": "localmodel/simulator:0.1.0",
    "command": ["python", "-m", "cachesim.containers.reader"],
    "args": ["--model_dir=/mnt/models"],
}
_ANSWER_SECONDS = 5.0
_LOOK_SECONDS = 0.05
_PARTS = (("daemonset", "localmodel-agent"), ("deployment", "localmodel-manager"), ("deployment", "localmodel-webhook"))
_COPY = """
import boto3
s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:9000", region_name="us-east-1")
for found in s3.list_objects_v2(Bucket="models", Prefix="assistant/")["Contents"]:
    s3.copy({"Bucket": "models", "Key": found["Key"]}, "models", found["Key"].replace("assistant", "NAME", 1))
"""
_CACHE = """\
apiVersion: serving.kserve.io/v1alpha1
kind: LocalModelCache
metadata: {{name: {name}}}
spec: {{sourceModelUri: "s3://models/{name}", modelSize: 65Mi, nodeGroups: [workers], storage: {{key: demo-s3}}}}
"""


class NotYet(LocalModelError):
    """What was waited for is not so; the message says what is missing."""


def expect(holds: object, missing: str) -> None:
    if not holds:
        raise NotYet(missing)


def until(check: Callable[[], object], patience_seconds: float = PATIENCE_SECONDS) -> float:
    """The seconds until the check passes. One that can't be made, since the API server is away, has not passed."""
    began = time.monotonic()
    while True:
        try:
            check()
        except (LocalModelError, OSError) as error:
            if (taken_seconds := time.monotonic() - began) > patience_seconds:
                raise AssertionError(f"after {taken_seconds:.0f} s: {error}") from error
            time.sleep(_LOOK_SECONDS)
        else:
            return time.monotonic() - began


class FaultField:
    """`with FaultField(deployment) as field:` the pod reads, and safety is watched. `field.story` is not cached."""

    def __init__(self, deployed: Deployment) -> None:
        self.deployed = deployed
        self.cluster = deployed.cluster
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.deployed.kubectl("apply", f"--filename={OVERLAY / 'story.yaml'}")
        self.deployed.kubectl("patch", "localmodelnodegroup/workers", "--type=merge", f"--patch={json.dumps(GROUP)}")
        [store] = self.pods(DEMO, "app.kubernetes.io/name=demo-s3")
        self.safe_node: str = store["spec"]["nodeName"]
        [self.victim] = (node for name, node in self.cluster.nodes.items() if name != self.safe_node)
        place = {"spec": {"predictor": {"nodeSelector": {"kubernetes.io/hostname": self.safe_node}}}}
        service = ("-n", DEMO, "patch", "inferenceservice/assistant", "--type=merge", f"--patch={json.dumps(place)}")
        self.deployed.kubectl(*service)
        self.seed()
        # After an earlier story it comes anew.
        disk, key = disk_of(self.cluster.nodes[self.safe_node]), self._model("assistant", 0).key
        until(lambda: expect(published(disk, key), "there is no copy of the model"))
        size = size_bytes(published(disk, key) or frozenset())
        self.assistant, self.story = self._model("assistant", size), self._model("story", size)
        until(lambda: self.whole(self.assistant))
        until(lambda: self.reads(self.assistant))
        [reader] = self.pods(DEMO, f"{INFERENCE_SERVICE_LABEL}=assistant")
        self._reader = reader["metadata"]
        kept = ((self.safe_node, self.assistant.key),)
        watch = SafetyWatch(self.cluster, (self.assistant, self.story), LIMIT_BYTES, kept)
        self.safety = self._stack.enter_context(watch)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _model(self, name: str, size: int) -> Model:
        return Model(name=name, digest=self.deployed.digest, size_bytes=size)

    def seed(self) -> None:
        """Give the object store the model of the stories, a copy of the other one."""
        script = _COPY.replace("NAME", "story")
        self.deployed.kubectl("-n", DEMO, "exec", "deployment/demo-s3", "--", "python", "-c", script)

    # What is there.

    def listed(self, kind: ResourceType, namespace: str = "", label_selector: str = "") -> list[JsonObject]:
        listing = self.cluster.plane.verbs.list(kind, namespace=namespace, label_selector=label_selector)
        found: list[JsonObject] = self.cluster.run(listing, _ANSWER_SECONDS)["items"]
        return found

    def pods(self, namespace: str, label_selector: str) -> list[JsonObject]:
        """Those that are not about to go."""
        found = self.listed(POD, namespace, label_selector)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def told(self, node: str, model: Model) -> JsonObject:
        """What the node's agent says of the model; empty when it says nothing."""
        states = {state["metadata"]["name"]: state for state in self.listed(NODE_STATE)}
        said: list[JsonObject] = states.get(node, {}).get("status", {}).get("models", [])
        return next((one for one in said if one["key"] == model.key), {})

    def parts_there(self, model: Model) -> dict[str, int]:
        """How many parts of it each node has in its staging area."""
        counts = dict.fromkeys(self.cluster.nodes, 0)
        for name, node in self.cluster.nodes.items():
            with contextlib.suppress(FileNotFoundError):
                counts[name] = (disk_of(node) / staging_journal_path(model.key)).read_text().count("\n")
        return counts

    def downloading(self, model: Model) -> None:
        """Every node has begun, and none has ended."""
        counts = self.parts_there(model)
        expect(all(counts.values()), f"parts that have come: {counts}")

    # What is done.

    def apply_cache(self, model: Model) -> None:
        """Without a webhook caches can't be created (failurePolicy Fail): whoever applies them tries again."""
        until(lambda: self.deployed.kubectl("apply", "--filename=-", given=_CACHE.format(name=model.name)))

    def apply_service(self, model: Model, **predictor: object) -> None:
        service = {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": model.name, "namespace": DEMO},
            "spec": {
                "predictor": {
                    "minReplicas": 1,
                    "serviceAccountName": "demo",
                    "model": {"modelFormat": {"name": "huggingface"}, "storageUri": model.uri},
                    "containers": [_READER],
                    **predictor,
                }
            },
        }
        until(lambda: self.deployed.kubectl("apply", "--filename=-", given=json.dumps(service)))

    def delete(self, model: Model) -> None:
        """Its service, and its cache; both may take their time to go."""
        now = ("--ignore-not-found", "--wait=false")
        until(lambda: self.deployed.kubectl("-n", DEMO, "delete", f"inferenceservice/{model.name}", *now))
        until(lambda: self.deployed.kubectl("delete", f"localmodelcache/{model.name}", *now))

    def replace_uncached(self, model: Model) -> None:
        """A pod that came while no webhook answered downloads its model itself; its service makes another instead."""
        for pod in self.pods(DEMO, f"{INFERENCE_SERVICE_LABEL}={model.name}"):
            if not is_cached(pod):
                self.deployed.kubectl("-n", DEMO, "delete", "pod", pod["metadata"]["name"], "--wait=false")

    def kill(self, program: str, node: RealNode) -> str:
        """kill -9 of our program on the node, whichever pods it is in; says what was killed."""
        for pod in self.pods(SYSTEM, f"app.kubernetes.io/name=localmodel-{program}"):
            if pod["spec"].get("nodeName") != node.name:
                continue
            [container] = pod["status"]["containerStatuses"]
            name = container["containerID"].rpartition("/")[2]
            for file in (CGROUPS / "memory").glob(f"{node.files.cgroup[1:]}/**/{name}/cgroup.procs"):
                for pid in file.read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        return f"{program} on {node.name}"

    def renew_pods(self) -> None:
        """New pods of ours.

        The kubelet starts a container again at once after its first death, 10, 20, 40 seconds after the next ones, as
        long as the pod is the same: then the minute would be the kubelet's, not ours.
        """
        for kind, name in _PARTS:
            self.deployed.kubectl("-n", SYSTEM, "rollout", "restart", f"{kind}/{name}")
        for kind, name in _PARTS:
            self.deployed.kubectl("-n", SYSTEM, "rollout", "status", f"{kind}/{name}", "--timeout=90s")

    # What is expected, as checks for `until`.

    def whole(self, *models: Model) -> None:
        """Everything of ours works, and every node has each of the models, the right ones, and nothing else."""
        self.working()
        labels = {node["metadata"]["name"]: node["metadata"].get("labels", {}) for node in self.listed(NODE)}
        for model in models:
            for node in self.cluster.nodes:
                said = self.told(node, model)
                expect(said.get("state") == "Downloaded", f"{node} says {said or 'nothing'} of {model.name}")
                expect(said["digest"] == model.digest, f"{node} says that {model.name} has {said['digest']}")
                expect(
                    labels[node].get(node_ready_label(model.key)) == "ready", f"{node} has no label for {model.name}"
                )
            self._ready(model)
        for name, running in self.cluster.nodes.items():
            self._nothing_lies_about(running)
            for model in models:
                digest = tree_digest(str(disk_of(running) / published_path(model.key)))[0]
                expect(digest == model.digest, f"{name} has {digest} for {model.name}")
        if hasattr(self, "_reader"):
            self._still_reads()

    def _ready(self, model: Model) -> None:
        caches = {cache["metadata"]["name"]: cache for cache in self.listed(CACHE)}
        expect(model.name in caches, f"there is no LocalModelCache {model.name}")
        status, wanted = caches[model.name].get("status", {}), len(self.cluster.nodes)
        conditions = {one["type"]: one["status"] for one in status.get("conditions", ())}
        expect(conditions.get("Ready") == "True", f"{model.name} is {status}")
        expect(
            status["copies"] == {"available": wanted, "total": wanted}, f"copies of {model.name}: {status['copies']}"
        )
        claims = self.listed(PERSISTENT_VOLUME_CLAIM, DEMO)
        of_it = [claim["status"]["phase"] for claim in claims if claim["metadata"]["name"] == f"{model.name}-workers"]
        expect(of_it in (["Bound"], []), f"the claim of {model.name} is {of_it}")
        bound = [volume["spec"].get("claimRef", {}).get("uid") for volume in self.listed(PERSISTENT_VOLUME)]
        expect(len(bound) == len(set(bound)), "two volumes are bound to one claim")

    def working(self) -> None:
        """Every node is Ready, its LocalModelNode is of this Node and no earlier one, and all our pods are Ready."""
        nodes = {node["metadata"]["name"]: node for node in self.listed(NODE)}
        states = {state["metadata"]["name"]: state for state in self.listed(NODE_STATE)}
        for name in self.cluster.nodes:
            conditions = {
                one["type"]: one["status"] for one in nodes.get(name, {}).get("status", {}).get("conditions", ())
            }
            expect(conditions.get("Ready") == "True", f"{name} is not Ready")
            owners = [owner["uid"] for owner in states.get(name, {}).get("metadata", {}).get("ownerReferences", ())]
            expect(
                owners == [nodes[name]["metadata"]["uid"]], f"the LocalModelNode {name} is of another Node, or of none"
            )
        for program in ("agent", "manager", "webhook"):
            self.runs(program)

    def runs(self, program: str) -> None:
        """All its pods are Ready."""
        pods = self.pods(SYSTEM, f"app.kubernetes.io/name=localmodel-{program}")
        expect(len(pods) == len(self.cluster.nodes), f"there are {len(pods)} pods of the {program}")
        for pod in pods:
            expect(is_ready(pod), f"the pod {pod['metadata']['name']} is not Ready")

    def reads(self, model: Model) -> None:
        """A pod of the model's service mounts the cached copy and has read it."""
        pods = self.pods(DEMO, f"{INFERENCE_SERVICE_LABEL}={model.name}")
        expect(len(pods) == 1 and is_ready(pods[0]), f"no one pod of {model.name} is Ready")
        name = pods[0]["metadata"]["name"]
        expect(is_cached(pods[0]), f"{name} came while no webhook answered, and downloads its model itself")
        said = self.deployed.kubectl("-n", DEMO, "logs", name, "--container=kserve-container")
        expect(model.digest in said, f"{name} has not read its model: {said}")

    def gone(self, model: Model) -> None:
        """Of a deleted cache. When its finalizer has gone, its data has (S7): that is no question of patience."""
        expect(
            model.name not in {cache["metadata"]["name"] for cache in self.listed(CACHE)}, "the cache is still there"
        )
        left = [name for name, node in self.cluster.nodes.items() if published(disk_of(node), model.key) is not None]
        assert left == [], f"S7: the LocalModelCache {model.name} has gone, and its data has not, on {left}"
        self.nothing_left(model)

    def nothing_left(self, model: Model) -> None:
        """Neither in the cluster nor on a disk."""
        for kind in (PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM):
            names = [one["metadata"]["name"] for one in self.listed(kind)]
            expect(not [name for name in names if name.startswith(f"{model.name}-workers")], f"{kind.kind}s: {names}")
        for name, node in self.cluster.nodes.items():
            expect(not self.told(name, model), f"{name} still tells of {model.name}")
            expect(not (disk_of(node) / model.key).exists(), f"{name} still has {model.key} on its disk")
            self._nothing_lies_about(node)

    def _nothing_lies_about(self, node: RealNode) -> None:
        for path in (STAGING_PATH, TRASH_PATH):
            folder = disk_of(node) / path
            left = os.listdir(folder) if folder.exists() else []
            expect(not left, f"{node.name} has {left} in {path}")

    def _still_reads(self) -> None:
        """The pod that was there from the beginning runs on, and reads the same."""
        [pod] = self.pods(DEMO, f"{INFERENCE_SERVICE_LABEL}=assistant")
        assert pod["metadata"]["uid"] == self._reader["uid"], "the pod that reads is another one"
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0, "the pod that reads was started again"
        name = self._reader["name"]
        script = "from cachesim.containers.reader import tree_digest; print(tree_digest('/mnt/models')[0])"
        read = self.deployed.kubectl(
            "-n", DEMO, "exec", name, "--container=kserve-container", "--", "python", "-c", script
        )
        assert read == self.assistant.digest, "S1: a pod that runs reads something else"


def is_ready(pod: JsonObject) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def is_cached(pod: JsonObject) -> bool:
    """Whether it mounts a claim in place of a download."""
    return any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes", ()))
