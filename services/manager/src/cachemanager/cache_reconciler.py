"""Keyed by cache: its finalizer, its volumes and claims, its status."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from cachecore.conditions import find_condition
from cachecore.controller.controller import Result
from cachecore.errors import NotFound
from cachecore.events import EventRecorder
from cachecore.ports.cluster import ClusterClient, Patch
from cachecore.ports.runtime import Runtime
from cachecore.resources.serving import (
    InferenceService,
    LLMInferenceService,
    LocalModelCacheStatus,
    LocalModelNode,
    LocalModelNodeGroup,
)
from cachemanager.chosen import Placements
from cachemanager.deletion import blockers_among, deletion_blockers
from cachemanager.fleet import Fleet
from cachemanager.group_status import group_problem
from cachemanager.groups import bytes_or_none
from cachemanager.identity import AnyCache, CacheId, cache_finalizer, cache_id, cache_key, has_finalizer
from cachemanager.options import ManagerOptions
from cachemanager.placement import Placement
from cachemanager.service_index import ServiceIndex
from cachemanager.status import (
    DEGRADED,
    READY,
    NodeCopy,
    Observation,
    Problem,
    cache_status,
    condition_status,
    settled_the_same,
)
from cachemanager.volume_writer import VolumeWriter
from cachemanager.volumes import plan_volumes, remove_all
from cachemanager.written import Written

# After a refusal by the API server nothing may change that would bring us back.
_REFUSED_SECONDS = 30.0
# The news of what was read will come; should they not, this is when the nodes are read once more.
_CATCH_UP_SECONDS = 5.0
# One LocalModelNode with a hundred models is 60 kB.
_PAGE_SIZE = 100
# Caches that progress at once share this many progress writes a second.
_PROGRESS_WRITES_PER_SECOND = 10.0
# A download to more copies takes longer: its progress is told less often, and costs no more writes than any other.
_PROGRESS_COPIES_PER_SECOND = 3_000.0

logger = logging.getLogger(__name__)


class CacheReconciler:
    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        fleet: Fleet,
        placements: Placements,
        services: ServiceIndex,
        volumes: VolumeWriter,
        events: EventRecorder,
        options: ManagerOptions,
        enqueue_node: Callable[[str], None],
    ) -> None:
        self._runtime = runtime
        self._client = client
        self._fleet = fleet
        self._placements = placements
        self._services = services
        self._volumes = volumes
        self._events = events
        self._options = options
        self._enqueue_node = enqueue_node
        self._written: Written[CacheId, AnyCache] = Written()
        self._written_at_seconds: dict[CacheId, float] = {}

    async def reconcile(self, request: CacheId) -> Result:
        seen = self._fleet.caches.get(request)
        if seen is None:
            return await self._clear(request)
        cache = self._written.current(request, seen)
        if cache.being_deleted:
            return await self._finalize(cache)
        if not has_finalizer(cache):
            await self._set_finalizers(cache, (*cache.metadata.finalizers, cache_finalizer(cache)))
            # The nodes' specs wait for it: of many caches that come together, all get theirs before the rest is done.
            return Result(requeue_after_seconds=0.0)
        for node in self._placements.refresh(cache):
            self._enqueue_node(node)
        problems = self._spec_problems(cache)
        refused = await self._keep_volumes(cache)
        problems += [Problem(reason="VolumeProblem", message=words, blocks=False) for words in refused]
        result = await self._show(cache, self._observe(cache, problems))
        waits = (
            result.requeue_after_seconds,
            _REFUSED_SECONDS if refused else None,
            self._placements.settles_in_seconds(request),
        )
        return Result(requeue_after_seconds=min((wait for wait in waits if wait is not None), default=None))

    # The end of a cache.

    async def _clear(self, identity: CacheId) -> Result:
        """The cache is gone: so is what was made for it."""
        self._written.forget(identity)
        self._written_at_seconds.pop(identity, None)
        self._placements.forget(identity)
        await self._remove_volumes(identity)
        return Result()

    async def _remove_volumes(self, identity: CacheId) -> list[str]:
        volumes, claims = self._volumes.volumes_of(identity), self._volumes.claims_of(identity)
        await self._volumes.apply(remove_all(volumes, claims, "its cache is deleted"))
        return [
            *(f"claim {name} is in use or going" for name in sorted(claims)),
            *(f"volume {name} is going" for name in sorted(volumes)),
        ]

    async def _finalize(self, cache: AnyCache) -> Result:
        identity = cache_id(cache)
        self._placements.forget(identity)
        if not has_finalizer(cache):
            return Result()
        blockers = deletion_blockers(self._fleet, cache) + await self._remove_volumes(identity)
        if not blockers:
            blockers = await self._blockers_read_again(cache)
            if blockers:
                logger.info("%s stays, though the watch has shown no copy: %s", identity, "; ".join(blockers))
                return Result(requeue_after_seconds=_CATCH_UP_SECONDS)
            finalizer = cache_finalizer(cache)
            try:
                await self._set_finalizers(cache, tuple(one for one in cache.metadata.finalizers if one != finalizer))
            except NotFound:
                return Result()
            return Result()
        return await self._show(cache, self._observe(cache, [], blockers))

    async def _blockers_read_again(self, cache: AnyCache) -> list[str]:
        """By a quorum read: what we wrote a moment ago, or who led before us did, the watch may not have shown yet."""
        token = ""
        while True:
            page = await self._client.list(LocalModelNode, limit=_PAGE_SIZE, continue_token=token)
            blockers = blockers_among(page.items, self._fleet, cache)
            token = page.continue_token
            if blockers or not token:
                return blockers

    async def _set_finalizers(self, cache: AnyCache, finalizers: tuple[str, ...]) -> AnyCache:
        body = {
            "metadata": {"resourceVersion": cache.metadata.resource_version, "finalizers": list(finalizers) or None}
        }
        written = await self._client.patch(type(cache), cache.name, Patch(body=body), namespace=cache.namespace)
        self._written.remember(cache_id(cache), cache, written)
        return written

    # Volumes.

    def _groups(self, cache: AnyCache) -> list[LocalModelNodeGroup]:
        named = (self._fleet.groups.get(name) for name in dict.fromkeys(cache.spec.node_groups))
        return [group for group in named if group is not None]

    async def _keep_volumes(self, cache: AnyCache) -> tuple[str, ...]:
        identity = cache_id(cache)
        namespaces = {*self._services.namespaces_of(identity), *self._fleet.demand.namespaces(cache)}
        shadowed = [one for one in sorted(namespaces) if self._is_shadowed(cache, one)]
        plan = plan_volumes(
            cache,
            self._groups(cache),
            namespaces.difference(shadowed),
            self._volumes.volumes_of(identity),
            self._volumes.claims_of(identity),
            self._fleet.demand.claims_in_use(cache),
        )
        refused = await self._volumes.apply(plan.actions, cache)
        clashes = (f"in namespace {one} a LocalModelNamespaceCache of that name has the claim" for one in shadowed)
        return (*plan.problems, *clashes, *refused)

    def _is_shadowed(self, cache: AnyCache, namespace: str) -> bool:
        """Whether a cache of that namespace has the same names for its claims: KServe gives both kinds one form."""
        other = self._fleet.caches.get(CacheId(namespace, cache.name)) if not cache.namespace else None
        return other is not None and not set(other.spec.node_groups).isdisjoint(cache.spec.node_groups)

    # The status.

    def _spec_problems(self, cache: AnyCache) -> list[Problem]:
        size = bytes_or_none(cache.spec.model_size)
        problems: list[Problem] = []
        if size is None:
            problems.append(
                Problem(reason="InvalidSpec", message=f"modelSize {cache.spec.model_size!r} is no quantity")
            )
        missing = [name for name in cache.spec.node_groups if name not in self._fleet.groups]
        if missing:
            message = (
                f"there is no LocalModelNodeGroup {', '.join(missing)}: "
                "make it again, or take it off the cache's nodeGroups"
            )
            problems.append(Problem(reason="NodeGroupNotFound", message=message))
        for group in self._groups(cache):
            words = group_problem(group)
            if words:
                problems.append(Problem(reason="InvalidNodeGroup", message=f"{group.name}: {words}"))
        too_small = [
            one.name for one in self._groups(cache) if size and size > (bytes_or_none(one.spec.storage_limit) or 0)
        ]
        if too_small:
            message = f"modelSize {cache.spec.model_size} is more than the storageLimit of {', '.join(too_small)}"
            problems.append(Problem(reason="InsufficientStorage", message=message))
        return problems

    def _observe(
        self, cache: AnyCache, problems: list[Problem], deletion_blockers: list[str] | None = None
    ) -> Observation:
        identity, key = cache_id(cache), cache_key(cache)
        going = deletion_blockers is not None
        placement = self._still_there(cache) if going else self._placements.placement(cache)
        copies = [
            NodeCopy(node=node, ready=self._fleet.ready(node), report=self._fleet.report(key, node))
            for node in placement.nodes
            if node in self._fleet.nodes
        ]
        if not going:
            copies += [
                NodeCopy(node=node, ready=True, never_fits=True)
                for node in self._fleet.never_fitting(cache)
                if cache.spec.copies is None
            ]
        return Observation(
            generation=cache.metadata.generation,
            declared_bytes=bytes_or_none(cache.spec.model_size) or 0,
            copies=copies,
            wanted_copies=None if going else cache.spec.copies,
            refused=placement.refused,
            problems=problems,
            inference_services=self._services.services_of(identity, InferenceService.resource_type.kind),
            llm_inference_services=self._services.services_of(identity, LLMInferenceService.resource_type.kind),
            deletion_blockers=deletion_blockers,
        )

    def _still_there(self, cache: AnyCache) -> Placement:
        """While a cache is being deleted, its nodes are those that still report a copy."""
        return Placement(nodes=dict.fromkeys(self._fleet.reporting_nodes(cache_key(cache)), ""))

    async def _show(self, cache: AnyCache, observation: Observation) -> Result:
        identity = cache_id(cache)
        status = cache_status(cache.status, observation, self._runtime.now())
        if status == cache.status:
            return Result()
        wait_seconds = self._wait_seconds(identity, fewer_or_more=_total(cache.status) != _total(status))
        if wait_seconds > 0 and settled_the_same(cache.status, status):
            return Result(requeue_after_seconds=wait_seconds)
        updated: AnyCache = msgspec.structs.replace(cache, status=status)
        try:
            written = await self._client.update_status(updated)
        except NotFound:
            return Result()
        self._written.remember(identity, cache, written)
        self._written_at_seconds[identity] = self._runtime.monotonic()
        self._tell(written, cache.status, status)
        return Result()

    def _wait_seconds(self, identity: CacheId, *, fewer_or_more: bool) -> float:
        last = self._written_at_seconds.get(identity)
        if last is None:
            return 0.0
        caches = len(self._fleet.caches)
        interval = max(self._options.progress_interval_seconds, caches / _PROGRESS_WRITES_PER_SECOND)
        if not fewer_or_more:
            interval = max(interval, caches * len(self._fleet.nodes) / _PROGRESS_COPIES_PER_SECOND)
        return last + interval - self._runtime.monotonic()

    def _tell(self, cache: AnyCache, old: LocalModelCacheStatus, new: LocalModelCacheStatus) -> None:
        for condition_type, event_type in ((READY, "Normal"), (DEGRADED, "Warning")):
            condition = find_condition(new.conditions, condition_type)
            became_true = condition_status(new, condition_type) == "True" != condition_status(old, condition_type)
            if condition is not None and became_true:
                reason = "Ready" if condition_type == READY else condition.reason
                self._events.record(cache, type=event_type, reason=reason, message=condition.message)


def _total(status: LocalModelCacheStatus) -> int:
    return status.copies.total if status.copies is not None else 0
