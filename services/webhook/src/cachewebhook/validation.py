"""Decides whether a cache, a node group or a node's entry may be written or deleted, in words that say what to do.

Pure. What the CRDs' schemas refuse is refused before this is asked; it stays here only where the words are better.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import msgspec

from cachecore.errors import InvalidInput
from cachecore.names import (
    DISABLE_LOCAL_MODEL_ANNOTATION,
    LOCAL_MODEL_LABEL,
    LOCAL_MODEL_NAMESPACE_LABEL,
    claim_name,
    source_uri_matches,
)
from cachecore.quantity import quantity_bytes
from cachecore.resources.meta import JsonObject, Resource
from cachecore.resources.serving import (
    InferenceService,
    LLMInferenceService,
    LocalModelCache,
    LocalModelNamespaceCache,
    LocalModelNode,
    LocalModelNodeGroup,
)
from cachewebhook.catalog import Cache
from cachewebhook.source_uris import uri_problem

Service: TypeAlias = InferenceService | LLMInferenceService

_NAMESPACE_CONTROLLER = "system:serviceaccount:kube-system:namespace-controller"
_NAMED_AT_MOST = 3


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the cluster beside the object in question.

    `services` has all of the kinds in `known_kinds`. Of the others it is not known which there are: the caches'
    statuses are believed.
    """

    caches: tuple[LocalModelCache, ...] = ()
    namespace_caches: tuple[LocalModelNamespaceCache, ...] = ()
    groups: tuple[LocalModelNodeGroup, ...] = ()
    services: tuple[Service, ...] = ()
    known_kinds: tuple[str, ...] = ()

    @property
    def all_caches(self) -> tuple[Cache, ...]:
        return (*self.caches, *self.namespace_caches)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`problems` refuse the request. `may_be_stale` tells that a moment's wait may make them go: what stood in the way
    may be on its way out, or what was missing on its way in.
    """

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    in_use: bool = False
    may_be_stale: bool = False

    @property
    def allowed(self) -> bool:
        return not self.problems


def validate_write(new: Resource, old: Resource | None, situation: Situation, *, user: str = "") -> Verdict:
    """A create (`old` None) or an update."""
    if new.being_deleted:
        return Verdict()
    match new:
        case LocalModelCache() | LocalModelNamespaceCache():
            previous = old if isinstance(old, LocalModelCache | LocalModelNamespaceCache) else None
            return _validate_cache(new, previous, situation)
        case LocalModelNodeGroup():
            return _validate_group(new, old if isinstance(old, LocalModelNodeGroup) else None, situation)
        case LocalModelNode():
            return _validate_node(new, old if isinstance(old, LocalModelNode) else None, user)
    return Verdict()


def validate_delete(old: Resource, situation: Situation, *, user: str = "") -> Verdict:
    match old:
        case LocalModelCache() | LocalModelNamespaceCache():
            return _validate_cache_deletion(old, situation, user)
        case LocalModelNodeGroup():
            return _validate_group_deletion(old, situation)
        case LocalModelNode() if _is_person(user):
            return Verdict(warnings=(f"the manager makes LocalModelNode {old.name} again while its Node is there",))
    return Verdict()


def describe(resource: Resource) -> str:
    """Kind and name, as messages name an object."""
    place = f"{resource.namespace}/" if resource.namespace else ""
    return f"{resource.resource_type.kind} {place}{resource.name}"


# Caches


def _validate_cache(cache: Cache, old: Cache | None, situation: Situation) -> Verdict:
    if old is not None and old.spec == cache.spec:
        return Verdict()
    others = [other for other in situation.all_caches if not _is_same(other, cache)]
    problems = [*_uri_problems(cache, old), *_digest_problems(cache)]
    # What only others can have changed since is asked anew only where this object changed.
    placement_changed = old is None or (old.spec.node_groups, old.spec.model_size) != (
        cache.spec.node_groups,
        cache.spec.model_size,
    )
    lagging: list[str] = []
    if old is None:
        lagging += _duplicates(cache, others)
    if placement_changed:
        lagging += _group_problems(cache, situation)
        lagging += _claim_clashes(cache, others)
    warnings = () if problems or lagging else (*_overlaps(cache, others), *_credential_warnings(cache, others))
    return Verdict(problems=(*problems, *lagging), warnings=warnings, may_be_stale=bool(lagging) and not problems)


def _uri_problems(cache: Cache, old: Cache | None) -> Iterator[str]:
    uri = cache.spec.source_model_uri
    if old is not None and old.spec.source_model_uri != uri:
        yield f"spec.sourceModelUri is immutable (it is {old.spec.source_model_uri}): make another cache for {uri}"
        return
    problem = uri_problem(uri, namespaced=isinstance(cache, LocalModelNamespaceCache))
    if problem:
        yield f"spec.sourceModelUri {problem}"


def _digest_problems(cache: Cache) -> Iterator[str]:
    digest = cache.spec.digest
    algorithm, _, number = digest.partition(":")
    if digest and (algorithm != "blake3" or len(number) != 64 or set(number) - set("0123456789abcdef")):
        yield f"spec.digest {digest!r} is no digest: write blake3: and 64 hex digits, as `localmodel verify` prints it"


def _duplicates(cache: Cache, others: Iterable[Cache]) -> Iterator[str]:
    uri = cache.spec.source_model_uri.rstrip("/")
    for other in others:
        if other.namespace == cache.namespace and other.spec.source_model_uri.rstrip("/") == uri:
            yield f"{describe(other)} caches {uri} already: use that one, or delete it first"
            return


def _group_problems(cache: Cache, situation: Situation) -> Iterator[str]:
    groups = {group.name: group for group in situation.groups}
    for name in cache.spec.node_groups:
        group = groups.get(name)
        if group is None:
            existing = ", ".join(sorted(groups)) or "none"
            yield f"spec.nodeGroups: there is no LocalModelNodeGroup {name} (there is {existing}): make it first"
        elif group.being_deleted:
            yield f"spec.nodeGroups: LocalModelNodeGroup {name} is being deleted: use another one"
        else:
            yield from _size_problems(cache, group)


def _size_problems(cache: Cache, group: LocalModelNodeGroup) -> Iterator[str]:
    try:
        fits = quantity_bytes(cache.spec.model_size) <= quantity_bytes(group.spec.storage_limit)
    except InvalidInput as error:
        yield f"spec.modelSize: {error}"
        return
    if not fits:
        yield (
            f"spec.modelSize {cache.spec.model_size} is more than the storageLimit {group.spec.storage_limit} of "
            f"LocalModelNodeGroup {group.name}: raise the limit, or use another group"
        )


def _claim_clashes(cache: Cache, others: Iterable[Cache]) -> Iterator[str]:
    """`<cache>-<group>` may be the claim of two caches in one namespace."""
    wanted = {claim_name(cache.name, group) for group in cache.spec.node_groups}
    for other in others:
        if other.namespace and cache.namespace and other.namespace != cache.namespace:
            continue
        for group in other.spec.node_groups:
            name = claim_name(other.name, group)
            if name in wanted:
                yield f"its PersistentVolumeClaim {name} is that of {describe(other)} too: give the cache another name"
                return


def _overlaps(cache: Cache, others: Iterable[Cache]) -> Iterator[str]:
    uri = cache.spec.source_model_uri
    for other in others:
        if other.namespace not in ("", cache.namespace) or not set(other.spec.node_groups) & set(
            cache.spec.node_groups
        ):
            continue
        theirs = other.spec.source_model_uri
        if theirs.rstrip("/") == uri.rstrip("/"):
            continue
        if source_uri_matches(theirs, uri) or source_uri_matches(uri, theirs):
            yield f"{describe(other)} caches {theirs}: what both contain is stored twice"


def _credential_warnings(cache: Cache, others: Iterable[Cache]) -> Iterator[str]:
    """One URI has one copy on each disk, whoever's credentials fetched it."""
    for other in others:
        if other.spec.source_model_uri != cache.spec.source_model_uri:
            continue
        if (other.spec.service_account_name, other.spec.storage) != (
            cache.spec.service_account_name,
            cache.spec.storage,
        ):
            # Who caches what is no news for other namespaces.
            name = describe(other) if other.namespace in ("", cache.namespace) else "a cache of another namespace"
            yield f"{name} holds the same URI with other credentials: they share one copy, fetched with either"
            return


def _validate_cache_deletion(cache: Cache, situation: Situation, user: str) -> Verdict:
    # The services of a namespace that goes will go too, in no certain order.
    if user == _NAMESPACE_CONTROLLER:
        return Verdict()
    users = list(_users(cache, situation))
    if not users:
        return Verdict()
    problem = (
        f"{describe(cache)} is in use by {_listed(users)}: delete that first, "
        f"or annotate it with {DISABLE_LOCAL_MODEL_ANNOTATION}"
    )
    return Verdict(problems=(problem,), in_use=True, may_be_stale=True)


def _users(cache: Cache, situation: Situation) -> Iterator[str]:
    for kind, entries in (
        ("InferenceService", cache.status.inference_services),
        ("LLMInferenceService", cache.status.llm_inference_services),
    ):
        if kind not in situation.known_kinds:
            for entry in entries:
                yield f"{kind} {entry.namespace}/{entry.name}"
    for service in situation.services:
        if not service.being_deleted and _uses(service, cache, situation):
            yield describe(service)


def _uses(service: Service, cache: Cache, situation: Situation) -> bool:
    if DISABLE_LOCAL_MODEL_ANNOTATION in service.metadata.annotations:
        return False
    if cache.namespace and service.namespace != cache.namespace:
        return False
    labels = service.metadata.labels
    if LOCAL_MODEL_LABEL in labels and labels.get(LOCAL_MODEL_NAMESPACE_LABEL, "") == cache.namespace:
        return labels[LOCAL_MODEL_LABEL] == cache.name
    return any(_serves(cache, uri, service.namespace, situation) for uri in _uris(service.spec))


def _serves(cache: Cache, uri: str, namespace: str, situation: Situation) -> bool:
    """Whether this cache holds the URI, and no cache of the service's own namespace comes before it."""
    if not source_uri_matches(cache.spec.source_model_uri, uri):
        return False
    return bool(cache.namespace) or not any(
        other.namespace == namespace and source_uri_matches(other.spec.source_model_uri, uri)
        for other in situation.namespace_caches
    )


def _uris(spec: Any) -> Iterator[str]:
    """Every model URI in a service's spec, at whatever depth its kind has it."""
    if isinstance(spec, dict):
        for name, value in spec.items():
            if name in ("storageUri", "uri") and isinstance(value, str):
                yield value
            else:
                yield from _uris(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from _uris(value)


# Node groups


def _validate_group(group: LocalModelNodeGroup, old: LocalModelNodeGroup | None, situation: Situation) -> Verdict:
    if old is not None and old.spec == group.spec:
        return Verdict()
    volume = group.spec.persistent_volume_spec
    path = _path(volume)
    problems: list[str] = []
    if not path:
        problems.append(
            "spec.persistentVolumeSpec needs a local.path (or hostPath.path): the models' folder on each node"
        )
    elif not path.strip("/") or not path.startswith("/") or ".." in path.split("/"):
        problems.append(f"spec.persistentVolumeSpec: path {path!r} must be absolute, below the root, and without ..")
    warnings = [*_volume_warnings(group), *_limit_warnings(group, situation)]
    if old is not None and _path(old.spec.persistent_volume_spec) != path:
        warnings.append(
            f"the models stay in {_path(old.spec.persistent_volume_spec)} and are downloaded again to {path}"
        )
    return Verdict(problems=tuple(problems), warnings=() if problems else tuple(warnings))


def _path(volume: JsonObject) -> str:
    for source in ("local", "hostPath"):
        path = _part(volume, source).get("path")
        if isinstance(path, str) and path:
            return path
    return ""


def _part(spec: JsonObject, name: str) -> JsonObject:
    """An object inside a spec that is passed through; empty when it is something else."""
    part = spec.get(name)
    return part if isinstance(part, dict) else {}


def _volume_warnings(group: LocalModelNodeGroup) -> Iterator[str]:
    volume, claim = group.spec.persistent_volume_spec, group.spec.persistent_volume_claim_spec
    if not _part(volume, "capacity").get("storage"):
        yield "spec.persistentVolumeSpec has no capacity.storage: Kubernetes makes no volume without one"
    if not _covers(volume, claim):
        yield "persistentVolumeClaimSpec asks for more than persistentVolumeSpec has: claims stay unbound"
    if (volume.get("storageClassName") or "") != (claim.get("storageClassName") or ""):
        yield "storageClassName differs between persistentVolumeSpec and persistentVolumeClaimSpec: claims stay unbound"


def _covers(volume: JsonObject, claim: JsonObject) -> bool:
    """Whether a volume of that spec can be bound to a claim of the other, as far as size and access modes go."""
    capacity = _part(volume, "capacity").get("storage")
    request = _part(_part(claim, "resources"), "requests").get("storage")
    try:
        large_enough = not capacity or quantity_bytes(request) <= quantity_bytes(capacity)
    except (InvalidInput, AttributeError):
        # Kubernetes itself refuses what is no quantity.
        large_enough = True
    offered, wanted = volume.get("accessModes"), claim.get("accessModes")
    if isinstance(offered, list) and isinstance(wanted, list):
        return large_enough and all(mode in offered for mode in wanted)
    return large_enough


def _limit_warnings(group: LocalModelNodeGroup, situation: Situation) -> Iterator[str]:
    try:
        limit = quantity_bytes(group.spec.storage_limit)
        too_large = [
            describe(cache)
            for cache in situation.all_caches
            if group.name in cache.spec.node_groups and quantity_bytes(cache.spec.model_size) > limit
        ]
    except InvalidInput:
        return
    if limit == 0:
        yield "storageLimit 0 leaves no room for any model"
    if too_large:
        yield f"storageLimit {group.spec.storage_limit} is less than the size of {_listed(too_large)}"


def _validate_group_deletion(group: LocalModelNodeGroup, situation: Situation) -> Verdict:
    named_by = [describe(cache) for cache in situation.all_caches if group.name in cache.spec.node_groups]
    if not named_by:
        return Verdict()
    problem = (
        f"LocalModelNodeGroup {group.name} is in use by {_listed(named_by)}: "
        "delete that first, or take the group off its nodeGroups"
    )
    return Verdict(problems=(problem,), in_use=True, may_be_stale=True)


# Nodes


def _validate_node(node: LocalModelNode, old: LocalModelNode | None, user: str) -> Verdict:
    if not _is_person(user) or (old is not None and old.spec == node.spec):
        return Verdict()
    return Verdict(warnings=(f"the manager writes the spec of LocalModelNode {node.name}: it will undo this change",))


def _is_person(user: str) -> bool:
    return bool(user) and not user.startswith("system:")


def _is_same(one: Resource, other: Resource) -> bool:
    return type(one) is type(other) and (one.namespace, one.name) == (other.namespace, other.name)


def _listed(things: list[str]) -> str:
    shown = ", ".join(things[:_NAMED_AT_MOST])
    rest = len(things) - _NAMED_AT_MOST
    return shown if rest <= 0 else f"{shown} and {rest} more"


KINDS: dict[str, type[Resource]] = {
    kind.resource_type.kind: kind
    for kind in (LocalModelCache, LocalModelNamespaceCache, LocalModelNodeGroup, LocalModelNode)
}
