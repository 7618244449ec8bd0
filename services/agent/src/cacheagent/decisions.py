"""What an agent has decided, and all that it has decided it from, as one log line."""

from __future__ import annotations

import logging

import msgspec

from cacheagent.actions import Fetch, Plan
from cacheagent.context import NodeContext
from cacheagent.demand import Demand
from cacheagent.ledger import LedgerEntry
from cacheagent.planning import Model, Work
from cachecore.decisions import SCHEMA, Decision, Seen, is_told, tell, without_credentials
from cachecore.ports import DiskUsage
from cachecore.resources.serving import LocalModelNode, LocalModelNodeSpec

logger = logging.getLogger(__name__)


class CopySeen(Seen, frozen=True, kw_only=True):
    """A whole copy, as its manifest describes it."""

    digest: str
    size_bytes: int
    allow_patterns: tuple[str, ...] = ()
    ignore_patterns: tuple[str, ...] = ()


class ListingSeen(Seen, frozen=True, kw_only=True):
    """A listing of the source; `current` tells that it was made as the spec says now. Monotonic time."""

    size_bytes: int
    listed_seconds: float
    current: bool


class KeySeen(Seen, frozen=True, kw_only=True):
    """One storage key: what is on the disk, what runs, what is remembered. Times of `ledger` are Unix seconds.

    `retry_at_seconds` is when an attempt that failed is made again, and like `start_at_seconds` monotonic.
    """

    key: str
    in_use: bool = False
    held: CopySeen | None = None
    damaged: str = ""
    unproven: bool = False
    legacy: bool = False
    staged_bytes: int | None = None
    view: bool = False
    work: Work = Work.NONE
    moving: bool = False
    listing: ListingSeen | None = None
    retry_at_seconds: float | None = None
    rejected: tuple[str, ...] = ()
    start_at_seconds: float | None = None
    ledger: LedgerEntry = LedgerEntry()


class NodeSeen(Seen, frozen=True, kw_only=True):
    """All that a plan was made from."""

    now_seconds: float
    monotonic_seconds: float
    spec: LocalModelNodeSpec
    disk: DiskUsage
    keys: tuple[KeySeen, ...]
    trash_bytes: int = 0
    default_concurrent_downloads: int
    listing_seconds: float


class Decided(Seen, frozen=True, kw_only=True):
    """One action: `kind` is its name in `cacheagent.actions`."""

    kind: str
    key: str
    reason: str
    reserve_bytes: int = 0


class NodePlanned(Decision, frozen=True, kw_only=True, tag_field="kind", tag="node-plan"):
    """A plan that has actions, in their order, and the keys that the node should hold."""

    seen: NodeSeen
    actions: tuple[Decided, ...]
    keep: tuple[str, ...] = ()


class PlanDecisions:
    """Tells the plans of one agent."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._told: tuple[object, ...] = ()

    def tell(
        self,
        node: LocalModelNode,
        disk: DiskUsage,
        models: list[Model],
        wanted: dict[str, Demand],
        plan: Plan,
        *,
        now: float,
    ) -> None:
        """Log the plan, if it decides anything and anybody listens. `now` is the monotonic time that it was made at."""
        decided = (plan.actions, plan.keep) if plan.actions else ()
        before, self._told = self._told, decided
        # What can't be carried out is decided again and again: that is no news, and there may be much of it.
        if not decided or decided == before or not is_told(logger):
            return
        seen = _node_seen(self._context, node, disk, models, wanted, now)
        actions = tuple(
            Decided(
                kind=type(action).__name__,
                key=action.key,
                reason=action.reason,
                reserve_bytes=action.reserve_bytes if isinstance(action, Fetch) else 0,
            )
            for action in plan.actions
        )
        tell(logger, NodePlanned(schema=SCHEMA, host=node.name, seen=seen, actions=actions, keep=plan.keep))


def _node_seen(
    context: NodeContext,
    node: LocalModelNode,
    disk: DiskUsage,
    models: list[Model],
    wanted: dict[str, Demand],
    now: float,
) -> NodeSeen:
    in_use = {model.key: model.in_use for model in models}
    running = [record.key for record in context.records if record.work is not Work.NONE]
    return NodeSeen(
        now_seconds=context.runtime.now(),
        monotonic_seconds=now,
        spec=msgspec.structs.replace(node.spec, local_models=tuple(map(without_credentials, node.spec.local_models))),
        disk=disk,
        keys=tuple(
            _key_seen(context, key, wanted.get(key), in_use=in_use.get(key, False))
            for key in sorted({*in_use, *running})
        ),
        trash_bytes=sum(context.store.trash.values()),
        default_concurrent_downloads=context.options.default_concurrent_downloads,
        listing_seconds=context.options.listing_seconds,
    )


def _key_seen(context: NodeContext, key: str, demand: Demand | None, *, in_use: bool) -> KeySeen:
    store, record = context.store, context.records.get(key)
    held, source, failure = store.held.get(key), record.source, record.failure
    return KeySeen(
        key=key,
        in_use=in_use,
        held=None
        if held is None
        else CopySeen(
            digest=held.digest,
            size_bytes=held.size_bytes,
            allow_patterns=held.allow_patterns,
            ignore_patterns=held.ignore_patterns,
        ),
        damaged=store.damaged.get(key, ""),
        unproven=key in store.unproven,
        legacy=key in store.legacy,
        staged_bytes=store.staged.get(key),
        view=key in store.views,
        work=record.work,
        moving=record.progress is not None,
        listing=None
        if source is None
        else ListingSeen(
            size_bytes=source.listing.size_bytes,
            listed_seconds=source.listing.listed_seconds,
            current=demand is not None and source.recipe == demand.recipe,
        ),
        retry_at_seconds=failure.due_seconds if failure is not None else None,
        rejected=record.rejected,
        start_at_seconds=record.start_at_seconds,
        ledger=context.memory.entry(key),
    )
