"""What a node should do about its models: one pure function of what is desired, held, in use, and of the room there is.

The keep-set is what the node should hold. It is filled in this order, as far as the limit goes:

1. copies that are held and in use, or held and pinned: they are never evicted, whatever the limit says;
2. models that are demanded (a pod waits for them) or pinned;
3. the rest, by priority, then by the eviction policy's value;
4. models that were evicted and that nobody has used since: only into room below the low watermark, or an empty disk.

What is missing of the keep-set is fetched; what is held outside of it is evicted when space is needed. So a model that
would still not fit evicts nothing, and an evicted one displaces nobody until it is used: at constant demand the plan is
empty after its first round.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from cacheagent.actions import (
    NO_ROOM,
    NOT_ASSIGNED,
    TOO_LARGE,
    Abandon,
    Action,
    Adopt,
    Discard,
    Evict,
    Fetch,
    MakeView,
    Obstacle,
    Pause,
    Plan,
    RemoveView,
    Resolve,
)
from cachecore.quantity import format_bytes
from cachecore.resources.serving import EvictionPolicy


class Work(enum.StrEnum):
    """What runs for a key at this moment: at most one thing."""

    NONE = ""
    RESOLVING = "Resolving"
    TRANSFERRING = "Transferring"
    ADOPTING = "Adopting"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One key as the agent sees it now."""

    key: str
    name: str
    desired: bool = True
    priority: int = 0
    pinned: bool = False
    in_use: bool = False
    # The best that is known; `resolved` tells that the source or a manifest said so, not a person.
    size_bytes: int = 0
    resolved: bool = False
    held: bool = False
    damaged: str = ""
    # Whole, but no longer what is asked for: replaced as soon as nobody uses it.
    stale: str = ""
    adoptable: str = ""
    staged: bool = False
    # Blocks of the staging area that the file system has given already.
    allocated_bytes: int = 0
    work: Work = Work.NONE
    # A listing of the source is at hand, young enough to fetch from.
    listed: bool = False
    failed: bool = False
    retry_at_seconds: float = 0.0
    # Before it nothing begins, unless a pod waits.
    start_at_seconds: float = 0.0
    evicted: bool = False
    value: float = 0.0
    view: bool = False

    @property
    def protected(self) -> bool:
        """In use or pinned: never evicted (a pin holds only as long as the model is assigned)."""
        return self.in_use or (self.pinned and self.desired)

    @property
    def reserved_bytes(self) -> int:
        """What this key takes of the limit beside whole copies."""
        return self.size_bytes if not self.held and (self.staged or self.work is Work.TRANSFERRING) else 0


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """The room for models; watermarks are percents of the limit.

    `limit_bytes` is what can be had now; `allowed_bytes` what the group allows on a disk that nobody else writes to.
    """

    limit_bytes: int
    free_bytes: int
    allowed_bytes: int = 0
    high_watermark: int = 90
    low_watermark: int = 80


EVICTION_REASONS = {
    EvictionPolicy.LRU: "LeastRecentlyUsed",
    EvictionPolicy.GREEDY_DUAL_SIZE: "LeastValuable",
    EvictionPolicy.LFU: "LeastFrequentlyUsed",
    EvictionPolicy.LRFU: "LeastNeeded",
}


def plan(
    models: Iterable[Model],
    capacity: Capacity,
    *,
    slots: int,
    now: float,
    policy: EvictionPolicy = EvictionPolicy.LRU,
) -> Plan:
    """Decide everything for one node.

    `slots` is how many resolutions, adoptions and transfers may run at once; `now` is on the clock of the models'
    `retry_at_seconds` and `start_at_seconds`.
    """
    known = sorted(models, key=lambda model: model.key)
    keep, obstacles = _keep_set(known, capacity)
    actions: list[Action] = []
    actions += _views(known)
    actions += _clean_ups(known, keep)
    busy = sum(model.work is not Work.NONE for model in known)
    starts, waits = _starts(known, keep, obstacles, free_slots=max(slots - busy, 0), now=now)
    actions += _pauses(known, waits)
    actions += [action for action in starts if not isinstance(action, Fetch)]
    fetches = [action for action in starts if isinstance(action, Fetch)]
    actions += _evictions(known, capacity, fetches, policy)
    actions += _affordable(known, capacity, fetches, waits)
    obstacles.update({key: obstacle for key, obstacle in waits.items() if key not in obstacles})
    wakes = [model.retry_at_seconds for model in known if model.failed and model.retry_at_seconds > now]
    wakes += [model.start_at_seconds for model in known if _held_back(model, now)]
    return Plan(
        actions=tuple(actions),
        keep=tuple(sorted(keep)),
        obstacles=obstacles,
        wake_at_seconds=min(wakes, default=0.0),
    )


def _keep_set(models: list[Model], capacity: Capacity) -> tuple[set[str], dict[str, Obstacle]]:
    """Which keys to hold, and why the other desired ones are not held."""
    keep = {model.key for model in models if model.held and model.protected}
    taken_bytes = sum(model.size_bytes for model in models if model.key in keep)
    # An orphan takes its room until it has gone, but it is never kept.
    candidates = [model for model in models if model.desired and model.key not in keep]
    protected_bytes = taken_bytes
    obstacles: dict[str, Obstacle] = {}
    # What evictions free above it is for those who ask: filled on suspicion, it would be fetched and evicted in vain.
    low_bytes = capacity.limit_bytes * capacity.low_watermark // 100
    for model in sorted(candidates, key=lambda model: (_comes_last(model), rank(model))):
        # A model that is alone may take it all: then the watermark would only keep the disk empty.
        room_bytes = low_bytes if _comes_last(model) and taken_bytes else capacity.limit_bytes
        if taken_bytes + model.size_bytes <= room_bytes:
            if _holds_its_place(model):
                taken_bytes += model.size_bytes
                protected_bytes += model.size_bytes if model.protected else 0
            keep.add(model.key)
        else:
            obstacles[model.key] = _no_room(model, capacity, protected_bytes)
    return keep, obstacles


def _comes_last(model: Model) -> bool:
    """Evicted before, and nobody has used it since."""
    return model.evicted and not model.held and not model.protected and model.reserved_bytes == 0


def _holds_its_place(model: Model) -> bool:
    """A model whose source can't even be listed keeps no room from others."""
    return not model.failed or model.listed or model.held or model.reserved_bytes > 0


def rank(model: Model) -> tuple[bool, int, bool, float, bool, bool, str]:
    """Smaller comes first. Between equals, what is here stays, what is on its way goes on: no swap in vain.

    What a pod waits for and is on its way comes before what a later pod waits for: else each pod that comes would throw
    away what was fetched for the one before, and the first would be served last.
    """
    return (
        not model.protected,
        -model.priority,
        model.protected and not model.held and model.reserved_bytes == 0,
        -model.value,
        not model.held,
        model.reserved_bytes == 0,
        model.key,
    )


def _no_room(model: Model, capacity: Capacity, protected_bytes: int) -> Obstacle:
    size, limit = format_bytes(model.size_bytes), format_bytes(capacity.limit_bytes)
    if capacity.limit_bytes < model.size_bytes <= capacity.allowed_bytes:
        message = f"the model has {size}; others have filled the disk, which leaves {limit} to models"
        return Obstacle("DiskFilledByOthers", message, never=True)
    if model.size_bytes > capacity.limit_bytes:
        message = f"the model has {size}, this node may hold {limit}: raise storageLimit, or use larger disks"
        return Obstacle(TOO_LARGE, message, never=True)
    if model.protected:
        held = format_bytes(protected_bytes)
        return Obstacle(
            "HeldByModelsInUse", f"the model has {size}; models in use or pinned hold {held} of {limit}", never=True
        )
    return Obstacle(NO_ROOM, f"models that rank higher fill the limit of {limit}; it comes when a pod uses it")


def _views(models: list[Model]) -> list[Action]:
    """A view exists for what is assigned or carried by a pod, before the model does; it goes with the last of it."""
    actions: list[Action] = []
    for model in models:
        wanted = model.desired or model.in_use
        if wanted and not model.view:
            actions.append(MakeView(model.key, "Assigned" if model.desired else "CarriedByPod"))
        elif model.view and not wanted and not _fills(model):
            actions.append(RemoveView(model.key))
    return actions


def _fills(model: Model) -> bool:
    """Whether something is in the view, or may be before it has gone: a download that ends just now publishes there."""
    return model.held or bool(model.damaged or model.adoptable) or model.work is not Work.NONE


def _clean_ups(models: list[Model], keep: set[str]) -> list[Action]:
    """What runs or lies about for nobody, and what is damaged."""
    actions: list[Action] = []
    for model in models:
        active = model.staged or model.work is not Work.NONE
        if active and not model.desired:
            actions.append(Abandon(model.key, NOT_ASSIGNED))
        elif active and not model.held and model.key not in keep and model.work is not Work.RESOLVING:
            actions.append(Abandon(model.key, NO_ROOM))
        elif model.staged and model.held and model.work is Work.NONE:
            actions.append(Abandon(model.key, "AlreadyHeld"))
        if model.damaged and not model.in_use and model.work is Work.NONE:
            actions.append(Discard(model.key, model.damaged))
        elif model.stale and not model.in_use:
            actions.append(Discard(model.key, model.stale))
        elif model.adoptable and not model.desired and not model.in_use and model.view:
            actions.append(Discard(model.key, NOT_ASSIGNED))
    return actions


def _starts(
    models: list[Model], keep: set[str], obstacles: dict[str, Obstacle], *, free_slots: int, now: float
) -> tuple[list[Action], dict[str, Obstacle]]:
    """What to begin, in order: what pods wait for, then priority, then smaller first."""
    actions: list[Action] = []
    waits: dict[str, Obstacle] = {}
    missing = [
        model
        for model in models
        if model.desired and not model.held and model.work is Work.NONE and not (model.damaged and model.in_use)
    ]
    for model in sorted(missing, key=start_rank):
        if model.damaged or (model.failed and model.retry_at_seconds > now):
            continue
        wanted = model.key in keep
        if not wanted and model.resolved and not _may_have_shrunk(model, obstacles):
            continue
        if _held_back(model, now):
            waits[model.key] = Obstacle("Queued", "it begins in a moment: not all nodes ask the source at once")
        elif len(actions) >= free_slots:
            waits[model.key] = Obstacle("Queued", "other downloads of this node come first")
        elif wanted and model.adoptable:
            actions.append(Adopt(model.key, model.adoptable))
        elif not model.listed:
            actions.append(Resolve(model.key, "SizeUnknown" if not model.resolved else "ListingMissing"))
        elif wanted:
            actions.append(Fetch(model.key, model.size_bytes, "PodWaits" if model.in_use else "Assigned"))
    return actions, waits


def _may_have_shrunk(model: Model, obstacles: dict[str, Obstacle]) -> bool:
    """It was too large when it was last listed, perhaps by the agent before this one, and nobody has looked since."""
    refused = obstacles.get(model.key)
    return refused is not None and refused.reason == TOO_LARGE and not model.listed


def _held_back(model: Model, now: float) -> bool:
    """A pod that waits is no reason to wait for the fleet."""
    return model.start_at_seconds > now and not model.in_use and not model.held


def _pauses(models: list[Model], waits: dict[str, Obstacle]) -> list[Action]:
    """As many transfers that no pod waits for as there are pods' models without a slot; the least important first."""
    urgent = sum(model.in_use and model.key in waits for model in models)
    idle = [model for model in models if model.work is Work.TRANSFERRING and not model.in_use]
    return [Pause(model.key) for model in sorted(idle, key=start_rank, reverse=True)[:urgent]]


def start_rank(model: Model) -> tuple[bool, int, int, str]:
    """Smaller comes first: of what begins, and of the parts of what is on its way."""
    return (not model.in_use, -model.priority, model.size_bytes, model.key)


def _evictions(models: list[Model], capacity: Capacity, fetches: list[Fetch], policy: EvictionPolicy) -> list[Action]:
    """Orphans go at once; the rest, least valuable first, when space is needed: from the high to the low watermark."""
    evictions: list[Action] = []
    taken_bytes = sum(model.size_bytes for model in models if model.held or model.damaged)
    taken_bytes += sum(model.reserved_bytes for model in models)
    by_key = {model.key: model for model in models}
    for model in models:
        if model.held and not model.desired and not model.in_use:
            taken_bytes -= model.size_bytes
            evictions.append(Evict(model.key, NOT_ASSIGNED, "the cache no longer assigns the model to this node"))
    needed_bytes = taken_bytes + sum(fetch.reserve_bytes - by_key[fetch.key].reserved_bytes for fetch in fetches)
    if needed_bytes * 100 <= capacity.limit_bytes * capacity.high_watermark:
        return evictions
    # Nothing goes for a model whose source has not been listed yet: it may not be there, or be too large.
    certain = [model for model in models if model.held or model.listed or model.reserved_bytes]
    keep, _ = _keep_set(certain, capacity)
    rest = [model for model in certain if model.held and model.desired and model.key not in keep]
    why = _why([model.name for model in certain if model.key in keep and not model.held], capacity)
    for model in sorted(rest, key=rank, reverse=True):
        if needed_bytes * 100 <= capacity.limit_bytes * capacity.low_watermark:
            break
        needed_bytes -= model.size_bytes
        evictions.append(Evict(model.key, EVICTION_REASONS[policy], why))
    return evictions


def _why(names: list[str], capacity: Capacity) -> str:
    limit = format_bytes(capacity.limit_bytes)
    if not names:
        return f"the models on this node take more than the high watermark of {limit} allows"
    return f"room is needed for {', '.join(names)} within the limit of {limit}"


def _affordable(
    models: list[Model], capacity: Capacity, fetches: list[Fetch], waits: dict[str, Obstacle]
) -> list[Action]:
    """The fetches that fit now, beside what is held and reserved; the others wait until evictions are done."""
    by_key = {model.key: model for model in models}
    taken_bytes = sum(model.size_bytes for model in models if model.held or model.damaged)
    taken_bytes += sum(model.reserved_bytes for model in models)
    unallocated_bytes = sum(max(model.reserved_bytes - model.allocated_bytes, 0) for model in models)
    free_bytes = capacity.free_bytes - unallocated_bytes
    affordable: list[Action] = []
    for fetch in fetches:
        model = by_key[fetch.key]
        more_bytes = fetch.reserve_bytes - model.reserved_bytes
        if taken_bytes + more_bytes <= capacity.limit_bytes and more_bytes <= free_bytes:
            taken_bytes += more_bytes
            free_bytes -= more_bytes
            affordable.append(fetch)
        else:
            waits[fetch.key] = Obstacle("WaitingForSpace", "room is being made for the model")
    return affordable
