"""One node of a plan: what it holds and wants, decided by the agent's own plan and ranked by the production policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from cacheagent.actions import NOT_ASSIGNED, Abandon, Evict, Fetch, Pause, Plan
from cacheagent.planning import Capacity, Model, Work, plan
from cachecore import eviction
from cachecore.eviction import Usage
from cachecore.resources.serving import EvictionPolicy


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one model, as every node sees it. `key` orders what is equal else."""

    number: int
    model: int
    version: int
    name: str
    key: str
    size_bytes: int
    load_seconds: float
    priority: int = 0
    pinned: bool = False
    copies: int | None = None
    gpus: int = 1


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the node group says, and the disk."""

    policy: EvictionPolicy
    limit_bytes: int
    disk_bytes: int
    high_watermark: int
    low_watermark: int
    slots: int


class Copy:
    """One kind on one node; it is there as long as the node has anything to do with it."""

    __slots__ = ("desired", "evicted", "held", "kind", "left_bytes", "usage", "users", "working")

    def __init__(self, kind: Kind, usage: Usage) -> None:
        self.kind = kind
        self.usage = usage
        self.desired = False
        self.held = False
        # Pods that are bound to the node and carry it.
        self.users = 0
        # What a transfer has still to bring: all of it before the first one begins.
        self.left_bytes = float(kind.size_bytes)
        self.working = False
        self.evicted = False

    @property
    def staged(self) -> bool:
        return self.working or self.left_bytes < self.kind.size_bytes


class Transfers(Protocol):
    """What carries a node's decisions out."""

    def begin(self, node: int, copy: Copy, *, demanded: bool) -> None: ...

    def stop(self, node: int, copy: Copy, *, keep: bool) -> None: ...

    def evicted(self, node: int, copy: Copy, evict: Evict, seen: Seen) -> None: ...


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan was made from."""

    now: float
    models: Sequence[Model]
    capacity: Capacity
    plan: Plan


class PlannedNode:
    """Holds copies, and asks the agent's plan what to do whenever something has changed."""

    def __init__(self, number: int, rules: Rules, transfers: Transfers, clock: Callable[[], float]) -> None:
        self.number = number
        self.rules = rules
        self.copies: dict[int, Copy] = {}
        self.held_bytes = 0
        self.inflation = 0.0
        self.pods = 0
        self.gpus_free = 0
        # Off: nothing can be placed here. Without its agent, pods still use what is there.
        self.up = True
        self.agent_up = True
        # Whether the end of a pod may change anything: a model waits for room or its turn, or a copy is to go.
        self.is_unsettled = True
        self._transfers = transfers
        self._clock = clock

    def assign(self, kind: Kind) -> None:
        """The manager lists the model for this node."""
        copy = self._copy(kind)
        copy.desired = True

    def unassign(self, kind: Kind) -> None:
        copy = self.copies.get(kind.number)
        if copy is not None:
            copy.desired = False
            self.is_unsettled = True
            self._forget(copy)

    def use(self, kind: Kind) -> Copy:
        """A pod that carries the model has been bound."""
        copy = self._copy(kind)
        copy.users += 1
        copy.usage = eviction.used(copy.usage, self._clock(), inflation=self.inflation)
        copy.evicted = False
        return copy

    def leave(self, copy: Copy) -> None:
        """A pod that carried the model has gone. Its end counts as a use, as for the agent."""
        copy.users -= 1
        copy.usage = eviction.used(copy.usage, self._clock(), inflation=self.inflation)
        self._forget(copy)

    def arrive(self, copy: Copy) -> None:
        """The transfer has brought all bytes, and the copy is published."""
        copy.working = False
        copy.held = True
        copy.evicted = False
        copy.left_bytes = float(copy.kind.size_bytes)
        self.held_bytes += copy.kind.size_bytes

    def drop(self, copy: Copy) -> None:
        """The copy is gone from the disk."""
        copy.held = False
        self.held_bytes -= copy.kind.size_bytes

    def victims(self) -> list[Kind]:
        """What would be evicted, first to last, if more and more room were needed now."""
        now = self._clock()
        copies = [copy for copy in self.copies.values() if copy.held and not copy.users and not copy.kind.pinned]
        return [copy.kind for copy in sorted(copies, key=lambda copy: (*self._rank(copy, now), copy.kind.key))]

    def consider(self) -> None:
        """Decide and carry out, until there is nothing left to decide."""
        while self.up and self.agent_up:
            now = self._clock()
            seen = self._decide(now)
            # Each of these makes room, or a slot, for what comes next.
            freed = any(isinstance(action, Evict | Abandon | Pause) for action in seen.plan.actions)
            for action in seen.plan.actions:
                self._carry_out(action, seen)
            if not freed:
                self.is_unsettled = any(
                    (not copy.held and (copy.users or copy.staged)) or not copy.desired for copy in self.copies.values()
                )
                return

    def _carry_out(self, action: object, seen: Seen) -> None:
        match action:
            case Evict():
                self._evict(self._by_key(action.key), action, seen)
            case Fetch():
                copy = self._by_key(action.key)
                copy.working = True
                self._transfers.begin(self.number, copy, demanded=copy.users > 0)
            case Abandon() | Pause() if self._has(action.key):
                copy = self._by_key(action.key)
                self._transfers.stop(self.number, copy, keep=isinstance(action, Pause))
                copy.working = False
                if isinstance(action, Abandon):
                    copy.left_bytes = float(copy.kind.size_bytes)
                    self._forget(copy)

    def _evict(self, copy: Copy, action: Evict, seen: Seen) -> None:
        self.inflation = eviction.inflated(self.inflation, copy.usage, size_bytes=copy.kind.size_bytes)
        self.drop(copy)
        copy.evicted = action.reason != NOT_ASSIGNED
        self._transfers.evicted(self.number, copy, action, seen)
        self._forget(copy)

    def _decide(self, now: float) -> Seen:
        """The agent's plan for the node.

        Most models of an over-committed cache are neither here nor asked for, and rank below all that is: the plan is
        made without them, and once more with those of them that would fit into what it leaves. That is the same plan as
        with all of them, as they are the last to get room.
        """
        capacity = self._capacity()
        present: list[Model] = []
        absent: list[Copy] = []
        for copy in self.copies.values():
            if copy.held or copy.users or copy.working or copy.staged or copy.kind.pinned:
                present.append(self._model(copy, now))
            else:
                absent.append(copy)
        floor = min(((model.priority, model.value) for model in present), default=(0, -math.inf))
        last: list[Copy] = []
        for copy in absent:
            if not copy.evicted and self._rank(copy, now) > floor:
                present.append(self._model(copy, now))
            else:
                last.append(copy)
        seen = self._plan(present, capacity, now)
        kept = set(seen.plan.keep)
        taken_bytes = sum(model.size_bytes for model in present if model.key in kept)
        # The same two limits as the agent's plan has; one that does not fit alone does not fit beside others.
        low_bytes = capacity.limit_bytes * capacity.low_watermark // 100 if taken_bytes else capacity.limit_bytes
        fitting = [
            self._model(copy, now)
            for copy in last
            if taken_bytes + copy.kind.size_bytes <= (low_bytes if copy.evicted else capacity.limit_bytes)
        ]
        return self._plan([*present, *fitting], capacity, now) if fitting else seen

    def _plan(self, models: Sequence[Model], capacity: Capacity, now: float) -> Seen:
        decided = plan(models, capacity, slots=self.rules.slots, now=now, policy=self.rules.policy)
        return Seen(now=now, models=models, capacity=capacity, plan=decided)

    def _capacity(self) -> Capacity:
        rules = self.rules
        return Capacity(
            limit_bytes=rules.limit_bytes,
            allowed_bytes=rules.limit_bytes,
            free_bytes=rules.disk_bytes - self.held_bytes,
            high_watermark=rules.high_watermark,
            low_watermark=rules.low_watermark,
        )

    def _model(self, copy: Copy, now: float) -> Model:
        kind = copy.kind
        return Model(
            key=kind.key,
            name=kind.name,
            desired=copy.desired,
            priority=kind.priority,
            pinned=kind.pinned,
            in_use=copy.users > 0,
            size_bytes=kind.size_bytes,
            resolved=True,
            listed=True,
            held=copy.held,
            staged=not copy.held and copy.staged,
            work=Work.TRANSFERRING if copy.working else Work.NONE,
            evicted=copy.evicted,
            value=eviction.value(self.rules.policy, copy.usage, size_bytes=kind.size_bytes, now=now),
            view=True,
        )

    def _rank(self, copy: Copy, now: float) -> tuple[int, float]:
        kind = copy.kind
        return kind.priority, eviction.value(self.rules.policy, copy.usage, size_bytes=kind.size_bytes, now=now)

    def _copy(self, kind: Kind) -> Copy:
        copy = self.copies.get(kind.number)
        if copy is None:
            usage = eviction.arrived(self._clock(), inflation=self.inflation)
            copy = self.copies[kind.number] = Copy(kind, usage)
        return copy

    def _has(self, key: str) -> bool:
        """What was given up in the same plan may be forgotten by now."""
        return any(copy.kind.key == key for copy in self.copies.values())

    def _by_key(self, key: str) -> Copy:
        return next(copy for copy in self.copies.values() if copy.kind.key == key)

    def _forget(self, copy: Copy) -> None:
        """The ledger remembers what is assigned, and nothing else."""
        if not (copy.desired or copy.users or copy.held or copy.staged):
            self.copies.pop(copy.kind.number, None)
