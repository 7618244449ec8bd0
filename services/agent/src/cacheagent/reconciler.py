"""One reconcile of the node: look, plan, act, report."""

from __future__ import annotations

import contextlib
import logging

import msgspec

from cacheagent import actions, planning
from cacheagent.actions import Evict, Plan
from cacheagent.adopting import adoptable_path
from cacheagent.context import NodeContext
from cacheagent.decisions import PlanDecisions
from cacheagent.demand import Demand, demands
from cacheagent.looking import DiskWatch
from cacheagent.planning import Capacity, Model, Work
from cacheagent.reporter import Reporter
from cacheagent.status import CopyView, node_status, settled_storage
from cacheagent.version import VERSION
from cacheagent.works import Works
from cachecore.conditions import set_condition
from cachecore.controller.controller import Result
from cachecore.controller.informer import Informer
from cachecore.errors import DiskFull
from cachecore.names import pod_keys
from cachecore.quantity import quantity_bytes
from cachecore.resources.core import Pod
from cachecore.resources.serving import LocalModelInfo, LocalModelNode, NodeStoragePolicy, NodeStorageStatus
from cachecore.store import layout

logger = logging.getLogger(__name__)

PODS_INDEX = "key"
STORAGE_READY = "StorageReady"
DISK_RETRY_SECONDS = 5.0


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan is made of. `limit_bytes` is what the group allows, `capacity` knows also what others wrote."""

    wanted: dict[str, Demand]
    policy: NodeStoragePolicy
    models: list[Model]
    capacity: Capacity
    limit_bytes: int


class NodeReconciler:
    """Level-triggered: whatever happened, one reconcile looks at everything and does what the plan says."""

    def __init__(
        self,
        context: NodeContext,
        *,
        nodes: Informer[LocalModelNode],
        pods: Informer[Pod],
        works: Works,
        reporter: Reporter,
    ) -> None:
        self._runtime = context.runtime
        self._client = context.client
        self._options = context.options
        self._store = context.store
        self._memory = context.memory
        self._records = context.records
        self._metrics = context.metrics
        self._tell = context.tell
        self._nodes = nodes
        self._pods = pods
        self._works = works
        self._reporter = reporter
        self._decisions = PlanDecisions(context)
        self._disk = DiskWatch(context, works, told_id=self._told_store_id)
        self._acted = False
        # Grouped again only when the spec is another one.
        self._demands_of: tuple[LocalModelInfo, ...] = ()
        self._demands: dict[str, Demand] = {}

    async def reconcile(self, request: str) -> Result:
        """Raises `ApiError` when the API server doesn't answer; a broken disk is no error but a state."""
        self._acted = False
        await self._disk.look()
        node = self._nodes.get(request)
        if node is None or node.being_deleted:
            # Nobody says what to hold: everything stays as it is, but a pod that waits has its view.
            if self._disk.unreadable is None:
                await self._make_views_of_pods()
            return self._again([])
        if self._disk.unreadable is not None:
            # What can't be seen is neither believed nor changed.
            await self._report(node, Plan())
            return self._again([])
        situation = self._situation(node)
        self._works.throttle.bytes_per_second = quantity_bytes(situation.policy.bandwidth_limit)
        self._works.ranks = {model.key: planning.start_rank(model) for model in situation.models}
        now = self._runtime.monotonic()
        plan = planning.plan(
            situation.models,
            situation.capacity,
            slots=situation.policy.max_concurrent_downloads or self._options.default_concurrent_downloads,
            now=now,
            policy=situation.policy.eviction.policy,
        )
        self._decisions.tell(node, self._disk.usage, situation.models, situation.wanted, plan, now=now)
        self._forget_evictions_but(plan)
        await self._apply(node, plan, situation)
        self._memory.forget([*situation.wanted, *self._store.keys])
        unchanged: Situation | None = situation if not plan.actions else None
        if self._memory.due_in_seconds(self._options.remember_seconds) == 0.0:
            await self._disk.attempt(self._memory.save())
            unchanged = None
        due = await self._report(node, plan, unchanged)
        wake = plan.wake_at_seconds - self._runtime.monotonic() if plan.wake_at_seconds else None
        return self._again([due, wake])

    def _told_store_id(self) -> str:
        """What the status says that an earlier agent found: this node may have had a store before."""
        node = self._nodes.get(self._options.node_name)
        return "" if node is None else self._reporter.newest(node).status.store_id

    def _situation(self, node: LocalModelNode) -> Situation:
        """All that a plan needs, as it is at this moment."""
        if self._demands_of is not node.spec.local_models:
            self._demands_of, self._demands = node.spec.local_models, demands(node.spec.local_models)
        wanted = self._demands
        policy = node.spec.storage or NodeStoragePolicy(limit=self._disk.usage.total_bytes)
        self._memory.settle_clock()
        self._memory.meet(wanted)
        self._forget_failures(wanted)
        self._draw_starts(wanted)
        used = {key: self._pods.indexed(PODS_INDEX, key) for key in self._pod_keys()}
        keys = dict.fromkeys([*wanted, *self._store.keys, *used])
        models = [self._model(key, wanted.get(key), bool(used.get(key)), policy) for key in sorted(keys)]
        limit_bytes = min(quantity_bytes(policy.limit), self._disk.usage.total_bytes)
        capacity = Capacity(
            # What others have written to this disk is not ours to give.
            limit_bytes=min(limit_bytes, self._ours_bytes() + self._disk.usage.free_bytes),
            free_bytes=self._disk.usage.free_bytes,
            allowed_bytes=limit_bytes,
            high_watermark=policy.eviction.high_watermark,
            low_watermark=policy.eviction.low_watermark,
        )
        return Situation(wanted=wanted, policy=policy, models=models, capacity=capacity, limit_bytes=limit_bytes)

    def _ours_bytes(self) -> int:
        """What of the disk's used space is ours: copies, staging areas, the trash."""
        store = self._store
        ours_bytes = store.held_bytes + sum(store.staged.values()) + sum(store.trash.values())
        for record in self._records:
            if record.work is Work.TRANSFERRING and record.progress is None and record.source is not None:
                # It is taking its room at this moment: what is gone of the free space may be gone to it.
                ours_bytes += max(record.source.listing.size_bytes - store.staged.get(record.key, 0), 0)
        return ours_bytes

    def _pod_keys(self) -> list[str]:
        keys = {key: None for pod in self._pods.list() for key in keys_in_use(pod)}
        return sorted(keys)

    def _model(self, key: str, demand: Demand | None, in_use: bool, policy: NodeStoragePolicy) -> Model:
        store, record, entry = self._store, self._records.get(key), self._memory.entry(key)
        held = store.held.get(key)
        damaged = store.damaged.get(key, "")
        if held is not None and demand is not None and demand.digest not in ("", held.digest):
            damaged = f"it has the digest {held.digest}, the cache expects {demand.digest}"
        stale = ""
        if held is not None and demand is not None:
            patterns = (demand.first.allow_patterns, demand.first.ignore_patterns)
            if patterns != (held.allow_patterns, held.ignore_patterns):
                stale = "the patterns of the model have changed since it was downloaded"
        failure = record.failure
        known_bytes = entry.size_bytes
        if held is not None:
            known_bytes = held.size_bytes
        elif record.source is not None:
            known_bytes = record.source.listing.size_bytes
        resolved = held is not None or record.source is not None or known_bytes > 0
        size_bytes = known_bytes if resolved else demand.declared_bytes if demand is not None else 0
        listed = (
            record.source is not None
            and demand is not None
            and record.source.recipe == demand.recipe
            and self._runtime.monotonic() - record.source.listing.listed_seconds < self._options.listing_seconds
        )
        adoptable = adoptable_path(
            key, published=key in store.unproven, legacy=demand is not None and key in store.legacy
        )
        return Model(
            key=key,
            name=demand.name if demand is not None else key,
            desired=demand is not None,
            priority=demand.priority if demand is not None else 0,
            pinned=demand.pinned if demand is not None else False,
            in_use=in_use,
            size_bytes=size_bytes,
            resolved=resolved,
            held=held is not None and not damaged,
            damaged=damaged or self._rejected(key, adoptable),
            stale=stale,
            adoptable="" if adoptable in record.rejected else adoptable,
            staged=key in store.staged,
            allocated_bytes=store.staged.get(key, 0),
            work=record.work,
            listed=listed,
            failed=failure is not None,
            retry_at_seconds=failure.due_seconds if failure is not None else 0.0,
            start_at_seconds=record.start_at_seconds or 0.0,
            evicted=self._memory.evicted(key),
            value=self._memory.value(policy.eviction.policy, key, size_bytes),
            view=key in store.views,
        )

    def _rejected(self, key: str, adoptable: str) -> str:
        """A published folder without a manifest that is not the model: in the way of the true one."""
        if adoptable == layout.published_path(key) and adoptable in self._records.get(key).rejected:
            return "the folder has no manifest and is not what the source holds"
        return ""

    def _forget_failures(self, wanted: dict[str, Demand]) -> None:
        """What went wrong for a cache that has gone or changed says nothing about the next: it is tried at once."""
        for record in self._records:
            demand, failure = wanted.get(record.key), record.failure
            if failure is not None and (demand is None or failure.recipe != demand.recipe):
                self._records.change(record.key, failure=None)

    def _draw_starts(self, wanted: dict[str, Demand]) -> None:
        """When each model that is new here may begin."""
        now = self._runtime.monotonic()
        for key in wanted:
            if self._records.get(key).start_at_seconds is None:
                jitter = self._runtime.random.uniform(0.0, self._options.start_jitter_seconds)
                self._records.change(key, start_at_seconds=now + jitter)

    def _forget_evictions_but(self, plan: Plan) -> None:
        going = {action.key for action in plan.actions if isinstance(action, Evict)}
        for record in self._records:
            if record.evicting is not None and record.key not in going:
                self._records.change(record.key, evicting=None)

    async def _apply(self, node: LocalModelNode, plan: Plan, situation: Situation) -> None:
        # Evictions come last: they wait for the API server, and nothing else should wait for it with them.
        for action in plan.actions:
            if not isinstance(action, Evict):
                logger.info("%s %s: %s", type(action).__name__, action.key, action.reason, extra={"key": action.key})
                self._acted |= await self._disk.attempt(self._carry_out(action, situation.wanted)) is None
        evictions = [action for action in plan.actions if isinstance(action, Evict)]
        if evictions:
            await self._evict(node, plan, evictions)

    async def _carry_out(self, action: actions.Action, wanted: dict[str, Demand]) -> None:
        match action:
            case actions.MakeView(key):
                await self._store.make_view(key)
            case actions.RemoveView(key):
                await self._store.remove_view(key)
            case actions.Resolve(key):
                self._works.resolve(wanted[key])
            case actions.Adopt(key, path):
                self._works.adopt(wanted[key], path)
            case actions.Fetch(key):
                self._works.fetch(wanted[key])
            case actions.Abandon(key):
                await self._works.abandon(key)
            case actions.Pause(key):
                await self._works.pause(key)
            case actions.Discard(key, reason):
                await self._store.retire(key)
                self._tell("Warning", "CopyDiscarded", f"{key}: {reason}")

    async def _evict(self, node: LocalModelNode, plan: Plan, evictions: list[Evict]) -> None:
        """Tell it, make sure that no pod has come meanwhile, and only then take the copies away."""
        for action in evictions:
            self._records.change(action.key, evicting=(action.reason, action.message))
        await self._report(node, plan, halfway=True)
        used = await self._keys_in_use_now()
        for action in evictions:
            if action.key in used:
                logger.info("not evicted: a pod has come", extra={"key": action.key})
                continue
            if await self._disk.attempt(self._take_away(action)) is None:
                self._acted = True
                self._records.change(action.key, evicting=None)
                self._metrics.evictions.labels(action.reason).inc()
                self._tell("Normal", "Evicted", f"{action.key}: {action.reason}: {action.message}")
        # What stayed is told as going until a plan without it: a status that goes back and forth wakes us at once.

    async def _take_away(self, action: Evict) -> None:
        # Remembered first: after a crash between the two the copy is still here, and that is what counts then. An
        # orphan is forgotten instead: should its cache come again, it is a new one.
        if action.reason != actions.NOT_ASSIGNED:
            # A full disk has no room for the note: what makes room can't wait for it.
            with contextlib.suppress(DiskFull):
                self._memory.evict(action.key, action.reason, action.message)
                await self._memory.save()
        await self._store.retire(action.key)

    async def _keys_in_use_now(self) -> set[str]:
        """A quorum read: what the watch has not shown yet counts as well."""
        used: set[str] = set()
        token = ""
        while True:
            page = await self._client.list(
                Pod, field_selector=f"spec.nodeName={self._options.node_name}", limit=500, continue_token=token
            )
            used.update(key for pod in page.items for key in keys_in_use(pod))
            token = page.continue_token
            if not token:
                return used

    async def _make_views_of_pods(self) -> None:
        for key in self._pod_keys():
            if key not in self._store.views:
                await self._disk.attempt(self._store.make_view(key))

    async def _report(
        self, node: LocalModelNode, plan: Plan, situation: Situation | None = None, *, halfway: bool = False
    ) -> float | None:
        """Write the status; `situation` is what it is made of, if nothing can have changed since it was looked at.

        `halfway`, it isn't known yet whether the disk does what is asked of it: what was said of that stays.
        """
        situation = situation or self._situation(node)
        newest = self._reporter.newest(node)
        views = [
            CopyView(
                model=model,
                record=self._records.get(model.key),
                entry=self._memory.entry(model.key),
                uri=self._uri(model.key, situation.wanted),
                demand=situation.wanted.get(model.key),
                held=self._store.held.get(model.key),
                obstacle=plan.obstacles.get(model.key),
                unreadable="" if self._disk.unreadable is None else str(self._disk.unreadable),
                pods=tuple(f"{pod.namespace}/{pod.name}" for pod in self._pods.indexed(PODS_INDEX, model.key)),
            )
            for model in situation.models
            if model.desired or model.held
        ]
        storage = settled_storage(self._storage(situation), newest.status.storage)
        problem = self._disk.problem
        status = node_status(
            views,
            storage=storage,
            store_id=self._store.store_id or newest.status.store_id,
            observed_generation=node.metadata.generation,
            agent_version=VERSION,
            conditions=newest.status.conditions
            if halfway
            else set_condition(
                newest.status.conditions,
                type=STORAGE_READY,
                status=problem is None,
                reason="StorageUsable" if problem is None else problem.reason,
                message="" if problem is None else str(problem),
                now=self._runtime.now(),
            ),
        )
        self._metrics.show([model.state for model in status.models], storage)
        return await self._reporter.write(node, status)

    def _uri(self, key: str, wanted: dict[str, Demand]) -> str:
        if key in wanted:
            return wanted[key].uri
        held = self._store.held.get(key)
        return held.source_model_uri if held is not None else ""

    def _storage(self, situation: Situation) -> NodeStorageStatus:
        used_bytes = self._store.held_bytes
        reserved_bytes = sum(model.reserved_bytes for model in situation.models)
        return NodeStorageStatus(
            limit=situation.limit_bytes,
            used=used_bytes,
            reserved=reserved_bytes,
            available=max(situation.capacity.limit_bytes - used_bytes - reserved_bytes, 0),
        )

    def _again(self, wake_seconds: list[float | None]) -> Result:
        """When to look again if nothing happens before."""
        if self._disk.problem is not None:
            return Result(DISK_RETRY_SECONDS)
        if self._acted:
            return Result(0.0)
        waits = [wait for wait in wake_seconds if wait is not None]
        due = self._memory.due_in_seconds(self._options.remember_seconds)
        waits += [due] if due is not None else []
        return Result(max(min([*waits, self._options.rescan_seconds]), 0.0))


def keys_in_use(pod: Pod) -> list[str]:
    """The storage keys that a pod protects: none once all its containers have ended for good."""
    return [] if pod.terminal else [key for key in pod_keys(pod) if layout.is_key(key)]
