"""The objects of the benchmark: nodes, one group of all of them, models."""

from __future__ import annotations

import hashlib

from cachecore.resources.core import Node, NodeCondition, NodeStatus
from cachecore.resources.meta import JsonObject, ObjectMeta, from_object
from cachecore.resources.serving import LocalModelCache, LocalModelCacheSpec, LocalModelNodeGroup

GROUP = "workers"
MODEL_BYTES = 2**30
# Whatever is asked for fits: what happens when it doesn't is no question of scale.
LIMIT_BYTES = 2**44
_POOL_LABEL = "pool"


def node(number: int) -> Node:
    name = f"node-{number:05d}"
    return Node(metadata=ObjectMeta(name=name, labels={"kubernetes.io/hostname": name, _POOL_LABEL: GROUP}))


def ready_status() -> NodeStatus:
    """What a kubelet says; here it is said once, and the control plane is told to believe it for a day."""
    return NodeStatus(conditions=(NodeCondition(type="Ready", status="True"),))


def group() -> LocalModelNodeGroup:
    term = {"matchExpressions": [{"key": _POOL_LABEL, "operator": "In", "values": [GROUP]}]}
    amount: JsonObject = {"accessModes": ["ReadWriteOnce"], "storageClassName": "local-storage"}
    content = {
        "metadata": {"name": GROUP},
        "spec": {
            "storageLimit": str(LIMIT_BYTES),
            "persistentVolumeSpec": {
                **amount,
                "capacity": {"storage": str(LIMIT_BYTES)},
                "local": {"path": "/var/lib/localmodel"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
            },
            "persistentVolumeClaimSpec": {**amount, "resources": {"requests": {"storage": str(LIMIT_BYTES)}}},
        },
    }
    return from_object(LocalModelNodeGroup, content)


def model(number: int) -> LocalModelCache:
    name = f"model-{number:04d}"
    spec = LocalModelCacheSpec(
        source_model_uri=f"s3://models/library/{name}", model_size=str(MODEL_BYTES), node_groups=(GROUP,)
    )
    return LocalModelCache(metadata=ObjectMeta(name=name), spec=spec)


def digest_of(source_model_uri: str) -> str:
    """As long as a real one, another for each model, the same on every node."""
    return f"sha256:{hashlib.sha256(source_model_uri.encode()).hexdigest()}"
