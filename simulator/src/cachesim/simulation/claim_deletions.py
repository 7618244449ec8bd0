"""L1, as far as it takes memory: no claim is deleted under a pod that whoever deletes it could have seen.

A claim that is deleted under a pod goes when that pod ends, and until then no other pod can have it. So the pods are
read before; one that comes after that reading is nobody's fault: no deletion can depend on there being no pod.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cachecore.names import CACHE_NAME_LABEL, CACHE_NAMESPACE_LABEL
from cachesim.apiserver.store import Change
from cachesim.simulation.world import World, has_ended

JsonObject = dict[str, Any]
Fail = Callable[[str, str], None]

_PODS_READ = ("list", "Pod")


def mounted_claims(pod: JsonObject) -> Iterator[tuple[str, str]]:
    """Namespace and name of each claim that a pod mounts."""
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            yield pod["metadata"]["namespace"], volume["persistentVolumeClaim"]["claimName"]


def uses_claims(pod: JsonObject) -> bool:
    """Whether the pod keeps its claims from going: it is bound, and has not ended."""
    return bool(pod["spec"].get("nodeName")) and not has_ended(pod)


class ClaimDeletions:
    """Told of each call of a service, and of each write."""

    def __init__(self, world: World, fail: Fail) -> None:
        self._world = world
        self._fail = fail
        # When a process last asked for the pods; by a claim's name, when it had asked for those that let it be deleted.
        self._read_at: dict[str, float] = {}
        self._allowed_at: dict[str, float] = {}

    def requested(self, process: str, verb: str, subject: str) -> None:
        """A call is about to be made."""
        if (verb, subject) == _PODS_READ:
            self._read_at[process] = self._world.now()
        elif verb == "delete" and subject.startswith("PersistentVolumeClaim/"):
            # Of two deletions that are on their way the earlier one may be late.
            self._allowed_at.setdefault(subject.partition("/")[2], self._read_at.get(process, self._world.now()))

    def api_changed(self, change: Change) -> None:
        if change.resource_type.plural != "persistentvolumeclaims":
            return
        before = (change.previous or {}).get("metadata", {})
        asked_for = ("deletionTimestamp" in change.item["metadata"]) > ("deletionTimestamp" in before)
        if change.type == "DELETED" or asked_for:
            self._deleted(change.item)

    def _deleted(self, item: JsonObject) -> None:
        namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
        allowed_at = self._allowed_at.pop(name, None)
        if allowed_at is None or self._is_going(item):
            return
        for pod in self._world.objects("pods"):
            if (namespace, name) in mounted_claims(pod) and uses_claims(pod):
                user = pod["metadata"]
                if self._world.bound_at.get(user["uid"], allowed_at) < allowed_at:
                    self._fail("L1", f"claim {namespace}/{name} is deleted under pod {user['name']}")

    def _is_going(self, claim: JsonObject) -> bool:
        """Whether its cache is: then no pod that comes is given the claim."""
        labels = claim["metadata"].get("labels") or {}
        cache = self._world.cache(labels.get(CACHE_NAMESPACE_LABEL, ""), labels.get(CACHE_NAME_LABEL, ""))
        return cache is None or "deletionTimestamp" in cache["metadata"]
