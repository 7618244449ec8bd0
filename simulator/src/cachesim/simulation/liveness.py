"""The invariants of liveness: what a world shows that has come to rest, some time after all faults have stopped.

- L1: what fits becomes Ready, pods run, and statuses and labels say what is true.
- L2: deletions finish.
- L3: nothing is left that nobody wants.
- L4: models stay below the limit; what can never fit is told as such.
- L6: nothing is left failing (and see `attempts`).

Pure: each looks at the world as it is, never at what the services believe. L5 and L7 take time: see `activity`.
"""

from __future__ import annotations

from collections.abc import Iterator

from cachecore.names import CACHE_NAME_LABEL, CACHE_NAMESPACE_LABEL
from cachecore.scheduling import pod_allows
from cachesim.simulation.agreement import agreement_problems
from cachesim.simulation.claim_deletions import mounted_claims, uses_claims
from cachesim.simulation.holdings import Past, Problem, node_problems
from cachesim.simulation.scene import Cache, JsonObject, Machine, Scene, condition, status_of
from cachesim.simulation.world import World, has_ended, keys_of

__all__ = ["Past", "Problem", "liveness_problems"]

OURS = (
    "localmodelcaches",
    "localmodelnamespacecaches",
    "localmodelnodegroups",
    "localmodelnodes",
    "persistentvolumes",
    "persistentvolumeclaims",
    "pods",
    "namespaces",
)
NODES_TOLD_MAX = 500
# What a person has to mend: then a cache is not Ready though all its copies are there.
BLOCKING_REASONS = ("InvalidSpec", "NodeGroupNotFound", "InvalidNodeGroup", "InsufficientStorage")


def liveness_problems(world: World, past: Past = Past(), unix_seconds: float = 0.0) -> list[Problem]:
    """What keeps the world from being at rest as it should; nothing when it has converged."""
    scene = Scene(world)
    problems = [*_deletions(scene), *_orphans(scene), *_pods(scene), *agreement_problems(scene)]
    for machine in scene.machines.values():
        problems += node_problems(scene, machine, past, unix_seconds)
    for cache in scene.caches.values():
        if not cache.going:
            problems += _cache(scene, cache)
    return problems


def _deletions(scene: Scene) -> Iterator[Problem]:
    """L2. Only a pod that still uses a model keeps its cache, and that cache's volumes."""
    for plural in OURS:
        for item in scene.world.objects(plural):
            if "deletionTimestamp" in item["metadata"] and not _is_in_use(scene, plural, item):
                yield Problem("L2", f"{plural} {_name(item)} is being deleted, and stays")


def _is_in_use(scene: Scene, plural: str, item: JsonObject) -> bool:
    identity = (item["metadata"].get("namespace", ""), item["metadata"]["name"])
    if plural.startswith("persistent"):
        labels = item["metadata"].get("labels") or {}
        identity = (labels.get(CACHE_NAMESPACE_LABEL, ""), labels.get(CACHE_NAME_LABEL, ""))
    elif plural not in ("localmodelcaches", "localmodelnamespacecaches"):
        return False
    cache = scene.caches.get(identity)
    return cache is not None and scene.used_anywhere(cache.key)


def _orphans(scene: Scene) -> Iterator[Problem]:
    """L3, for what the API server holds."""
    for local in scene.world.objects("localmodelnodes"):
        name = local["metadata"]["name"]
        node = scene.nodes.get(name)
        owners = [owner["uid"] for owner in local["metadata"].get("ownerReferences", ())]
        if node is None or node.uid not in owners:
            yield Problem("L3", f"LocalModelNode {name} is of a node that is gone")
    for plural in ("persistentvolumes", "persistentvolumeclaims"):
        for item in scene.world.objects(plural):
            labels = item["metadata"].get("labels") or {}
            owner = (labels.get(CACHE_NAMESPACE_LABEL, ""), labels.get(CACHE_NAME_LABEL))
            if owner[1] is not None and owner not in scene.caches:
                yield Problem("L3", f"{plural} {_name(item)} is of a cache that is gone")


def _pods(scene: Scene) -> Iterator[Problem]:
    """L1. Each pod runs, unless its model can't come, no node takes it, or a claim that it mounts is held back."""
    held = set(_held_claims(scene))
    for pod in scene.world.objects("pods"):
        node = (pod.get("spec") or {}).get("nodeName", "")
        if "deletionTimestamp" in pod["metadata"] or has_ended(pod):
            continue
        machine = scene.machines.get(node)
        if not node:
            places = [one.name for one in scene.machines.values() if _takes(scene, one, pod)]
            if places and held.isdisjoint(mounted_claims(pod)):
                yield Problem("L1", f"pod {_name(pod)} is bound to no node, though {places[0]} could take it")
        elif node not in scene.nodes:
            yield Problem("L2", f"pod {_name(pod)} stays on {node}, which is gone")
        elif machine is not None and all(key in machine.whole for key in keys_of(pod)) and not _runs(pod):
            yield Problem("L1", f"pod {_name(pod)} on {node} does not get Ready, though its models are there")


def _held_claims(scene: Scene) -> Iterator[tuple[str, str]]:
    """Claims that are being deleted, and that a pod holds back: see `claim_deletions` for when that may be."""
    mounted = {claim for pod in scene.world.objects("pods") if uses_claims(pod) for claim in mounted_claims(pod)}
    for item in scene.world.objects("persistentvolumeclaims"):
        claim = (item["metadata"]["namespace"], item["metadata"]["name"])
        if "deletionTimestamp" in item["metadata"] and claim in mounted:
            yield claim


def _runs(pod: JsonObject) -> bool:
    return status_of(pod).get("phase") == "Running" and condition(pod, "Ready").get("status") == "True"


def _takes(scene: Scene, machine: Machine, pod: JsonObject) -> bool:
    """Whether a pod could go there: what it needs of us is listed, and no rule of its own is against it."""
    if not machine.takes_copies or not pod_allows(pod["spec"], machine.node):
        return False
    namespace = pod["metadata"]["namespace"]
    keys = keys_of(pod)
    offered = {
        cache.key
        for cache in scene.caches.values()
        if not cache.going and cache.identity[0] in ("", namespace) and any(g in machine.groups for g in cache.groups)
    }
    return all(key in offered for key in keys)


def _cache(scene: Scene, cache: Cache) -> Iterator[Problem]:
    """L1 and L3. A cache goes where it should, and its status says what is there."""
    if not cache.item["metadata"].get("finalizers"):
        yield Problem("L1", f"cache {cache.name} has no finalizer")
    listing = [machine for machine in scene.machines.values() if machine.lists(cache)]
    if cache.copies is not None:
        willing = sum(
            scene.fits(cache, machine) and (machine.takes_copies or machine.lists(cache))
            for machine in scene.machines.values()
        )
        if len(listing) < min(cache.copies, willing):
            yield Problem("L1", f"cache {cache.name} goes to {len(listing)} nodes of {cache.copies}")
        if sum(not machine.demands(cache) for machine in listing) > cache.copies:
            yield Problem("L3", f"cache {cache.name} goes to more nodes than {cache.copies}, and no pod needs it there")
    status = status_of(cache.item)
    if status.get("observedGeneration") != cache.item["metadata"].get("generation"):
        yield Problem("L1", f"cache {cache.name}: its spec has not been acted on")
    yield from _copies(scene, cache, listing)


def _copies(scene: Scene, cache: Cache, listing: list[Machine]) -> Iterator[Problem]:
    status = status_of(cache.item)
    told = {node for node, value in (status.get("nodeStatus") or {}).items() if value == "NodeDownloaded"}
    whole = {machine.name for machine in listing if cache.key in machine.whole}
    copies = status.get("copies") or {}
    silent = {name for name in scene.nodes if name not in scene.machines}
    if len(scene.nodes) <= NODES_TOLD_MAX:
        for node in sorted((told - silent) ^ whole):
            words = "holds the model, which its status does not tell" if node in whole else "does not hold the model"
            yield Problem("L1", f"cache {cache.name}: {node} {words}")
    if not silent and copies.get("available", 0) != len(whole):
        yield Problem("L1", f"cache {cache.name}: {copies.get('available', 0)} copies are told, there are {len(whole)}")
    ready = condition(cache.item, "Ready")
    complete = copies.get("total", 0) == copies.get("available", 0) > 0
    if complete != (ready.get("status") == "True") and not (complete and ready.get("reason") in BLOCKING_REASONS):
        words = f"Ready is {ready.get('status')} ({ready.get('reason')})"
        yield Problem("L1", f"cache {cache.name}: {words}, with {copies.get('available', 0)} copies available")


def _name(item: JsonObject) -> str:
    metadata = item["metadata"]
    return "/".join(part for part in (metadata.get("namespace", ""), metadata["name"]) if part)
