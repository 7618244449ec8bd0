"""Whether what the manager writes says what people ask for, in a world at rest: L1 and L3.

The specs of nodes, the services that use a cache, the volumes through which pods see it, the counts of a group.
"""

from __future__ import annotations

from collections.abc import Iterator

from cachecore.names import CACHE_NAME_LABEL, CACHE_NAMESPACE_LABEL, claim_name
from cachecore.quantity import quantity_bytes
from cachecore.scheduling import group_selects
from cachesim.simulation.holdings import Problem
from cachesim.simulation.scene import Cache, Identity, JsonObject, Machine, Scene, status_of
from cachesim.simulation.world import has_ended, keys_of

# Fields of a cache that a node's entry repeats, with what both have when they leave it out.
_REPEATED = (("priority", 0), ("pinned", False), ("serviceAccountName", ""), ("digest", ""))


def agreement_problems(scene: Scene) -> Iterator[Problem]:
    """Everything that the manager has written and that is not so, or not so any more."""
    users = _Users(scene)
    for machine in scene.machines.values():
        if machine.local is not None and machine.groups:
            yield from _policy(scene, machine)
            yield from _entries(scene, machine, users)
    for cache in scene.caches.values():
        if not cache.going:
            yield from _services(cache, users)
            yield from _missing_volumes(scene, cache, users)
    yield from _surplus_volumes(scene, users)
    yield from _groups(scene)


class _Users:
    """The services that use each cache, and the namespaces in which pods need a key."""

    def __init__(self, scene: Scene) -> None:
        self.services: dict[Identity, dict[Identity, None]] = {}
        self.namespaces_of_pods: dict[str, dict[str, None]] = {}
        chosen: dict[tuple[str, str], Identity] = {}
        for identity, cache in sorted(scene.caches.items()):
            if not cache.going:
                chosen.setdefault((identity[0], cache.item["spec"]["sourceModelUri"]), identity)
        for service in scene.world.objects("inferenceservices"):
            metadata = service["metadata"]
            uri = ((service["spec"].get("predictor") or {}).get("model") or {}).get("storageUri", "")
            # A cache of the service's own namespace wins over one of the cluster.
            cache_of = chosen.get((metadata["namespace"], uri)) or chosen.get(("", uri))
            if cache_of is not None:
                self.services.setdefault(cache_of, {})[metadata["namespace"], metadata["name"]] = None
        for pod in scene.world.objects("pods"):
            if not has_ended(pod):
                for key in keys_of(pod):
                    self.namespaces_of_pods.setdefault(key, {})[pod["metadata"]["namespace"]] = None

    def namespaces(self, cache: Cache) -> set[str]:
        """Where something uses the cache, or may: pods carry a key, which several caches can have."""
        pods = set(self.namespaces_of_pods.get(cache.key, ()))
        if cache.identity[0]:
            pods &= {cache.identity[0]}
        return pods | {namespace for namespace, _ in self.services.get(cache.identity, ())}


def _policy(scene: Scene, machine: Machine) -> Iterator[Problem]:
    """A node keeps to the largest limit of its groups."""
    told = ((machine.local or {}).get("spec") or {}).get("storage") or {}
    limit = max(quantity_bytes(scene.groups[name].spec.storage_limit) for name in machine.groups)
    if quantity_bytes(told.get("limit", 0)) != limit:
        yield Problem("L1", f"{machine.name} is told a limit of {told.get('limit')}, its groups have {limit} bytes")


def _entries(scene: Scene, machine: Machine, users: _Users) -> Iterator[Problem]:
    for cache in scene.caches.values():
        for entry in machine.entries.get(cache.key, ()):
            if (entry.get("namespace", ""), entry["modelName"]) != cache.identity or cache.going:
                continue
            for field, default in _REPEATED:
                asked, told = cache.item["spec"].get(field, default), entry.get(field, default)
                if asked != told:
                    yield Problem("L1", f"{machine.name} is told of {cache.name}: {field} {told}, which is {asked}")
            used = machine.demands(cache) or cache.identity in users.services
            if entry.get("referenced", False) != used:
                words = "used, which nothing does" if entry.get("referenced") else "unused, though something uses it"
                yield Problem("L1", f"{machine.name} is told that {cache.name} is {words}")


def _services(cache: Cache, users: _Users) -> Iterator[Problem]:
    listed = status_of(cache.item).get("inferenceServices", ())
    told = {(one["namespace"], one["name"]) for one in listed}
    for namespace, name in sorted(told ^ users.services.get(cache.identity, {}).keys()):
        words = "which does not use it" if (namespace, name) in told else "which its status does not tell"
        yield Problem("L1", f"cache {cache.name}: service {namespace}/{name}, {words}")


def _missing_volumes(scene: Scene, cache: Cache, users: _Users) -> Iterator[Problem]:
    """Where a service uses the cache, a claim waits for its pods."""
    for namespace in sorted({namespace for namespace, _ in users.services.get(cache.identity, ())}):
        if not cache.identity[0] and (namespace, cache.identity[1]) in scene.caches:
            # Both kinds have the same names for their claims, and the namespace's own wins.
            continue
        for group in cache.groups:
            claim = claim_name(cache.identity[1], group)
            if group in scene.groups and scene.world.object("persistentvolumeclaims", claim, namespace) is None:
                yield Problem("L1", f"cache {cache.name}: services of {namespace} use it, and have no claim {claim}")


def _surplus_volumes(scene: Scene, users: _Users) -> Iterator[Problem]:
    """A volume goes when nothing in its namespace uses the cache any more."""
    for plural in ("persistentvolumes", "persistentvolumeclaims"):
        for item in scene.world.objects(plural):
            cache = scene.caches.get(_owner(item))
            if cache is None or cache.going:
                continue
            claim = (item["spec"].get("claimRef") or {}).get("namespace")
            namespace = item["metadata"].get("namespace") or claim
            if namespace not in users.namespaces(cache):
                name = item["metadata"]["name"]
                yield Problem("L3", f"{plural} {name} is for {namespace}, where nothing uses cache {cache.name}")


def _owner(item: JsonObject) -> Identity:
    labels = item["metadata"].get("labels") or {}
    return labels.get(CACHE_NAMESPACE_LABEL, ""), labels.get(CACHE_NAME_LABEL, "")


def _groups(scene: Scene) -> Iterator[Problem]:
    for name, group in scene.groups.items():
        members = [node for node in scene.nodes.values() if group_selects(group, node)]
        status = group.status
        told, true = (status.nodes, status.ready_nodes), (len(members), sum(node.ready for node in members))
        if told != true:
            yield Problem(
                "L1", f"group {name} tells of {told[0]} nodes, {told[1]} ready: they are {true[0]}, {true[1]}"
            )
        if status.observed_generation != group.metadata.generation:
            yield Problem("L1", f"group {name}: its spec has not been acted on")
