"""Decides how a new pod gets its models: from cached copies where there are any, else as it was going to.

Pure: the same pod and the same catalog give the same answer, and a pod that was admitted once is left as it is.
"""

from __future__ import annotations

import enum

import msgspec

from cachecore.names import (
    DISABLE_LOCAL_MODEL_ANNOTATION,
    LOCAL_MODEL_CLAIM_ANNOTATION,
    NODE_GROUP_ANNOTATION,
    STORAGE_INITIALIZER_CONTAINER,
    STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION,
    source_uri_subpath,
)
from cachecore.resources.core import Node
from cachecore.resources.meta import JsonObject
from cachecore.scheduling import pod_allows
from cachewebhook.catalog import Catalog, Claim
from cachewebhook.json_patch import json_patch
from cachewebhook.pod_edit import CLAIM_SCHEME, Placement, PodEdit
from cachewebhook.pod_shape import (
    STORAGE_CONTAINER_ANNOTATION,
    Download,
    PodShape,
    path_below,
    read_shape,
)


class Reason(enum.StrEnum):
    """Why a pod was changed or left alone, as metrics and logs count it."""

    MOUNTED = "Mounted"
    NO_MODEL = "NoModel"
    DISABLED = "Disabled"
    NOT_CACHED = "NotCached"
    OTHER_GROUP = "OtherGroup"
    NO_USABLE_NODE = "NoUsableNode"
    COPY_FAILED = "CopyFailed"
    UNSUITABLE_POD = "UnsuitablePod"


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """The decision: `patch` turns the pod into one that mounts its models; empty, it is left as it is.

    `message` tells in a line what was decided and why; `warnings` are for whoever made the pod.
    """

    reason: Reason
    message: str
    patch: tuple[JsonObject, ...] = ()
    keys: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class _Miss(msgspec.Struct, frozen=True):
    """Why a model is not taken from the cache."""

    reason: Reason
    message: str


def admit(pod: JsonObject, *, namespace: str, catalog: Catalog, agent_image: str) -> Admission:
    """Mount the cached copies of the pod's models; leave alone what no cache can serve."""
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    # As KServe has it, whatever the value.
    if DISABLE_LOCAL_MODEL_ANNOTATION in annotations:
        return Admission(reason=Reason.DISABLED, message=f"{DISABLE_LOCAL_MODEL_ANNOTATION} is set")
    edit = PodEdit(pod)
    choice = _Choice(pod, namespace, catalog)
    mounted, unguarded = _mounted_claims(edit, choice)
    shape = read_shape(pod)
    position = _guard_position(pod)
    misses: list[_Miss] = []
    wanted: list[Claim] = []
    if shape.source_uri:
        wanted = _redirect(edit, shape, choice, misses)
    elif shape.downloads:
        wanted = _replace_downloads(edit, shape, choice, misses)
    elif shape.objection:
        misses.append(_Miss(Reason.UNSUITABLE_POD, shape.objection))
    claims = [*mounted, *wanted]
    if not claims:
        return _left_alone(misses)
    unguarded -= {claim.name for claim in wanted}
    distinct = {claim.name: claim for claim in claims}
    for claim in distinct.values():
        if claim.name not in unguarded:
            position += edit.guard(claim, agent_image, position=position)
        edit.prefer_nodes_with(claim)
    keys = list(dict.fromkeys(claim.key for claim in distinct.values()))
    edit.mark(keys)
    return Admission(
        reason=Reason.MOUNTED,
        message=f"mounts {', '.join(distinct)}",
        patch=json_patch(pod, edit.result()),
        keys=tuple(keys),
        warnings=_warnings(misses),
    )


class _Choice:
    """Picks a claim for each model, such that there is a node for all of them together."""

    def __init__(self, pod: JsonObject, namespace: str, catalog: Catalog) -> None:
        annotations = (pod.get("metadata") or {}).get("annotations") or {}
        self._wanted_group: str = annotations.get(NODE_GROUP_ANNOTATION) or ""
        self._pod_spec: JsonObject = pod.get("spec") or {}
        self._namespace = namespace
        self._catalog = catalog
        self._taken: list[Claim] = []

    def known(self, claim_name: str) -> Claim | None:
        return self._catalog.claim(self._namespace, claim_name)

    def take(self, claim: Claim) -> None:
        self._taken.append(claim)

    def usable(self, claim: Claim) -> bool:
        """Whether some node has this copy, and those taken so far, and is allowed by the pod's own constraints."""
        known = self.known(claim.name)
        return (known is not None and known.key == claim.key) and any(
            pod_allows(self._pod_spec, node) and self._has_taken(node) for node in self._catalog.nodes_of(claim)
        )

    def choose(self, uri: str) -> Placement | _Miss:
        """The claim to mount for a URI, in the order of the caches and of their groups."""
        miss = _Miss(Reason.NOT_CACHED, f"no cache holds {uri}")
        for cache in self._catalog.caches_for(self._namespace, uri):
            subpath = source_uri_subpath(cache.spec.source_model_uri, uri)
            if any(part in ("", ".", "..") for part in subpath.split("/")) and subpath:
                return _Miss(Reason.UNSUITABLE_POD, f"{uri} has a path that no volume can show")
            groups = [group for group in cache.spec.node_groups if self._wanted_group in ("", group)]
            if not groups:
                miss = _Miss(
                    Reason.OTHER_GROUP,
                    f"{cache.name} holds {uri}, but not in node group {self._wanted_group}: add it to its nodeGroups",
                )
            for group in groups:
                claim = Claim(cache=cache, group=group)
                if self.usable(claim):
                    self.take(claim)
                    return Placement(claim=claim, subpath=subpath)
                miss = self._unusable(claim)
        return miss

    def _has_taken(self, node: Node) -> bool:
        return all(self._catalog.offers(claim, node) for claim in self._taken)

    def _unusable(self, claim: Claim) -> _Miss:
        if self._catalog.has_failed(claim):
            return _Miss(
                Reason.COPY_FAILED,
                f"{claim.cache.name} has no copy in node group {claim.group} and downloads none: see its conditions",
            )
        return _Miss(
            Reason.NO_USABLE_NODE,
            f"{claim.cache.name} is cached in node group {claim.group}, where the pod may not run on any ready node",
        )


def _mounted_claims(edit: PodEdit, choice: _Choice) -> tuple[list[Claim], set[str]]:
    """The claims of caches that the pod mounts already: by KServe's doing, its author's, or ours of before.

    Beside them, the names of those that are mounted whole, not by the model's folder. The name of such a claim may be a
    coincidence, so it is neither made read-only nor waited for.
    """
    claims: dict[str, Claim] = {}
    by_folder: set[str] = set()
    for volume, claim_name in tuple(edit.claim_volumes()):
        claim = choice.known(claim_name)
        mounts = tuple(edit.mounts(volume))
        if claim is None or not mounts:
            continue
        claims.setdefault(claim_name, claim)
        if any(path_below((mount.get("subPath") or "").strip("/"), claim.model_path) is not None for mount in mounts):
            by_folder.add(claim_name)
            edit.seal(volume)
    for claim in claims.values():
        choice.take(claim)
    return list(claims.values()), claims.keys() - by_folder


def _redirect(edit: PodEdit, shape: PodShape, choice: _Choice, misses: list[_Miss]) -> list[Claim]:
    """Before KServe's mutator: give it a claim to mount instead of a URI to download."""
    if shape.source_uri.startswith(CLAIM_SCHEME):
        claim_name, _, path = shape.source_uri.removeprefix(CLAIM_SCHEME).partition("/")
        claim = choice.known(claim_name)
        return [] if claim is None or path_below(path.rstrip("/"), claim.model_path) is None else [claim]
    if shape.assigned_claim:
        return _assigned(edit, shape, choice)
    placement = choice.choose(shape.source_uri)
    if isinstance(placement, _Miss):
        misses.append(placement)
        return []
    if shape.objection:
        misses.append(_Miss(Reason.UNSUITABLE_POD, shape.objection))
        return []
    edit.annotations[STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION] = (
        f"{CLAIM_SCHEME}{placement.claim.name}/{placement.path}"
    )
    # It names a container that downloads; KServe refuses a pod whose container can't download a claim.
    edit.annotations.pop(STORAGE_CONTAINER_ANNOTATION, None)
    return [placement.claim]


def _assigned(edit: PodEdit, shape: PodShape, choice: _Choice) -> list[Claim]:
    """KServe's own defaulter has chosen a claim, of the first group; the pod may need that of another."""
    claim = choice.known(shape.assigned_claim)
    if claim is None:
        return []
    if not choice.usable(claim):
        placement = choice.choose(shape.source_uri)
        if isinstance(placement, Placement) and placement.claim.key == claim.key:
            claim = placement.claim
            edit.annotations[LOCAL_MODEL_CLAIM_ANNOTATION] = claim.name
    return [claim]


def _replace_downloads(edit: PodEdit, shape: PodShape, choice: _Choice, misses: list[_Miss]) -> list[Claim]:
    """After KServe's mutator, or without one: take the place of the storage-initializer."""
    chosen: dict[Download, Placement | None] = {}
    found: list[_Miss] = []
    for download in shape.downloads:
        placement = choice.choose(download.uri)
        if isinstance(placement, _Miss):
            found.append(placement)
        chosen[download] = placement if isinstance(placement, Placement) else None
    claims = [placement.claim for placement in chosen.values() if placement is not None]
    if claims and shape.objection:
        misses.append(_Miss(Reason.UNSUITABLE_POD, shape.objection))
        return []
    misses += found
    if claims:
        edit.mount_instead(chosen)
        # Otherwise KServe's mutator, called again, would inject what was taken out.
        edit.annotations.pop(STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION, None)
    return claims


def _guard_position(pod: JsonObject) -> int:
    """In the place of the storage-initializer, or first."""
    for index, container in enumerate((pod.get("spec") or {}).get("initContainers") or ()):
        if container.get("name") == STORAGE_INITIALIZER_CONTAINER:
            return index
    return 0


def _left_alone(misses: list[_Miss]) -> Admission:
    if not misses:
        return Admission(reason=Reason.NO_MODEL, message="the pod downloads no model")
    return Admission(reason=misses[0].reason, message=misses[0].message, warnings=_warnings(misses))


def _warnings(misses: list[_Miss]) -> tuple[str, ...]:
    """A model that nobody caches is no news; one that is cached in vain is."""
    return tuple(
        f"localmodel: the pod downloads its model itself: {miss.message}"
        for miss in misses
        if miss.reason is not Reason.NOT_CACHED
    )
