"""Reviews with junk anywhere are answered or refused in one line, never with a crash."""

from __future__ import annotations

import copy
import random
from typing import Any

import msgspec
import pytest

from cachecore.names import storage_key
from cachecore.resources.meta import to_object
from cachecore.testing import FakeCluster, VirtualRuntime
from cachewebhook.review import MalformedReview
from cachewebhook.testing import (
    IRIS,
    annotated_pod,
    downloading_pod,
    make_cache,
    make_group,
    make_node,
)
from cachewebhook.webhook import MUTATE_PATH, VALIDATE_PATH, Webhook, WebhookOptions

JUNK: tuple[Any, ...] = (None, 1, -1, "x", "", [], {}, [1], {"a": 1}, True, 1.5, [None], {"name": None}, [{}], ["x"])
MOUNTED = {
    "metadata": {},
    "spec": {
        "volumes": [{"name": "m", "persistentVolumeClaim": {"claimName": "iris-workers"}}],
        "containers": [
            {
                "name": "c",
                "volumeMounts": [{"name": "m", "mountPath": "/m", "subPath": f"models/{storage_key(IRIS)}"}],
            }
        ],
    },
}
TERM = {"matchExpressions": [{"key": "group", "operator": "In", "values": ["workers"]}]}
CONSTRAINED = downloading_pod(
    annotated=True,
    nodeSelector={"group": "workers"},
    tolerations=[{"key": "a"}],
    affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [TERM]}}},
)
BASES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (MUTATE_PATH, "Pod", CONSTRAINED),
    (MUTATE_PATH, "Pod", annotated_pod()),
    (MUTATE_PATH, "Pod", MOUNTED),
    (VALIDATE_PATH, "LocalModelCache", to_object(make_cache("new", uri="s3://b/new"))),
    (VALIDATE_PATH, "LocalModelNodeGroup", to_object(make_group("new"))),
)


def with_junk(value: Any, chance: random.Random) -> Any:
    if chance.random() < 0.03:
        return copy.deepcopy(chance.choice(JUNK))
    if isinstance(value, dict):
        return {name: with_junk(part, chance) for name, part in value.items()}
    if isinstance(value, list):
        return [with_junk(part, chance) for part in value]
    return value


@pytest.mark.parametrize("seed", range(20))
def test_junk_is_answered_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    runtime = VirtualRuntime(seed=1)
    webhook = Webhook(
        runtime,
        FakeCluster(runtime, make_group(), make_cache(), make_node("node-a")),
        WebhookOptions(agent_image="agent:1"),
    )
    outcomes: set[object] = set()

    async def main() -> None:
        runtime.spawn(webhook.run(), name="webhook")
        await webhook.wait_ready()
        for _ in range(100):
            path, kind, item = chance.choice(BASES)
            operation = chance.choice(["CREATE", "UPDATE", "DELETE"])
            request = {"uid": "u", "kind": {"kind": kind}, "operation": operation, "object": item, "oldObject": item}
            review = {
                "apiVersion": "admission.k8s.io/v1",
                "kind": "AdmissionReview",
                "request": with_junk(request, chance),
            }
            try:
                answer = msgspec.json.decode(webhook.review(path, msgspec.json.encode(review)))
                outcomes.add(answer["response"]["allowed"])
            except MalformedReview as error:
                outcomes.add("refused" if "\n" not in str(error) else str(error))

    runtime.run(main(), timeout_seconds=None)
    assert {True, "refused"} <= outcomes <= {True, False, "refused"}
