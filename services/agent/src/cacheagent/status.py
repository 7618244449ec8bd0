"""What a node tells of its models: LocalModelNode.status, made of the plan and of what is known. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from cacheagent.actions import NO_ROOM, Obstacle
from cacheagent.demand import Demand
from cacheagent.ledger import LedgerEntry
from cacheagent.planning import Model, Work
from cacheagent.records import Record
from cachecore.errors import DiskFull
from cachecore.progress import bytes_text, copies_text
from cachecore.resources.meta import Condition
from cachecore.resources.serving import (
    MODEL_STATUS_OF_STATE,
    CopyState,
    LocalModelNodeStatus,
    ModelCopyStatus,
    NodeStorageStatus,
)
from cachecore.store.manifest import Manifest
from cachecore.timestamps import format_timestamp


class CopyView(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one key when its status is written. `uri` also of a copy that nobody asks for any more."""

    model: Model
    record: Record
    entry: LedgerEntry
    uri: str
    demand: Demand | None = None
    held: Manifest | None = None
    obstacle: Obstacle | None = None
    pods: tuple[str, ...] = ()
    # Why the disk can't be read, when it can't: then nothing is known to be there.
    unreadable: str = ""


class _Word(msgspec.Struct, frozen=True):
    state: CopyState
    reason: str = ""
    message: str = ""


def copy_status(view: CopyView) -> ModelCopyStatus:
    """The status of one copy."""
    word = _word(view)
    record, held = view.record, view.held
    progress = record.progress if held is None else None
    total_bytes = held.size_bytes if held is not None else view.model.size_bytes if view.model.resolved else 0
    done_bytes = total_bytes if held is not None else 0
    if progress is not None:
        total_bytes, done_bytes = progress.total_bytes, progress.done_bytes
    note = view.demand.note if view.demand is not None else ""
    failure = record.failure if held is None else None
    used = view.entry.usage.last_used_seconds
    return ModelCopyStatus(
        key=view.model.key,
        source_model_uri=view.uri,
        state=word.state,
        reason=word.reason,
        message="; ".join(part for part in (word.message, note) if part),
        bytes_done=done_bytes,
        bytes_total=total_bytes,
        bytes_per_second=int(record.rate) if word.state is CopyState.DOWNLOADING else 0,
        digest=held.digest if held is not None and word.state is CopyState.DOWNLOADED else "",
        last_used_time=format_timestamp(used) if used > 0 else None,
        attempts=failure.attempts if failure is not None else 0,
        next_retry_time=None if failure is None or _outranked(view) else format_timestamp(failure.retry_at_seconds),
    )


def _word(view: CopyView) -> _Word:
    """The state, its reason, and the sentence for a person."""
    model, record, entry = view.model, view.record, view.entry
    if record.evicting is not None:
        return _Word(CopyState.EVICTING, *record.evicting)
    if not model.desired:
        if model.in_use:
            return _Word(CopyState.EVICTING, "InUse", f"the cache has gone; {_pods(view.pods)} still uses the copy")
        return _Word(CopyState.EVICTING, "NotAssigned", "the cache no longer assigns the model to this node")
    if view.unreadable:
        return _Word(CopyState.DOWNLOAD_ERROR, "StorageUnreadable", view.unreadable)
    if model.damaged:
        waits = f"; {_pods(view.pods)} uses it, it is replaced afterwards" if model.in_use else ""
        return _Word(CopyState.DOWNLOAD_ERROR, "CopyDamaged", f"{model.damaged}{waits}")
    if model.held:
        return _Word(CopyState.DOWNLOADED, "Stale" if model.stale else "", model.stale)
    if record.work is not Work.NONE:
        return _working(record)
    failure = record.failure
    obstacle = view.obstacle
    # A full disk is what the obstacle explains; every other failure says more than that there is no room.
    explained = obstacle is not None and obstacle.never and failure is not None and failure.reason == DiskFull.reason
    if failure is not None and record.source is None and not explained and not _outranked(view):
        return _Word(CopyState.DOWNLOAD_ERROR, failure.reason, failure.message)
    if obstacle is not None and obstacle.never:
        return _Word(CopyState.INSUFFICIENT_STORAGE, obstacle.reason, obstacle.message)
    if entry.evicted_seconds and not model.in_use:
        when = format_timestamp(entry.evicted_seconds)
        return _Word(CopyState.EVICTED, entry.evicted_reason, f"{entry.evicted_message}; evicted at {when}")
    if obstacle is not None:
        return _Word(CopyState.PENDING, obstacle.reason, obstacle.message)
    return _Word(CopyState.PENDING, "Queued", "")


def _outranked(view: CopyView) -> bool:
    """Whether others have its room: an attempt that failed is then not made again, whatever its time was."""
    return view.obstacle is not None and view.obstacle.reason == NO_ROOM and view.record.work is Work.NONE


def _working(record: Record) -> _Word:
    if record.work is Work.RESOLVING:
        # A retry stays an error until it has got further than listing the source.
        if record.failure is not None:
            return _Word(CopyState.DOWNLOAD_ERROR, record.failure.reason, record.failure.message)
        return _Word(CopyState.PENDING, "Resolving", "the source is being listed")
    if record.work is Work.ADOPTING:
        return _Word(CopyState.PENDING, "Adopting", "a copy that was found on the disk is being checked")
    return _Word(CopyState.DOWNLOADING)


def _pods(pods: tuple[str, ...]) -> str:
    if not pods:
        return "a pod"
    return f"pod {pods[0]}" if len(pods) == 1 else f"pod {pods[0]} and {len(pods) - 1} more"


def node_status(
    views: list[CopyView],
    *,
    storage: NodeStorageStatus,
    store_id: str,
    observed_generation: int,
    agent_version: str,
    conditions: tuple[Condition, ...],
) -> LocalModelNodeStatus:
    """The whole status: one copy per key, sorted; one word per cache."""
    models = tuple(copy_status(view) for view in sorted(views, key=lambda view: view.model.key))
    words = {model.key: MODEL_STATUS_OF_STATE[model.state] for model in models}
    model_status = {
        entry.status_key: words[view.model.key]
        for view in views
        if view.demand is not None
        for entry in view.demand.entries
    }
    return LocalModelNodeStatus(
        model_status=dict(sorted(model_status.items())),
        models=models,
        storage=storage,
        store_id=store_id,
        observed_generation=observed_generation,
        agent_version=agent_version,
        conditions=conditions,
        progress=copies_text(*_whole_of_desired(views)),
        usage=bytes_text(storage.used, storage.limit),
    )


def _whole_of_desired(views: list[CopyView]) -> tuple[int, int]:
    desired = [view for view in views if view.model.desired]
    return sum(view.model.held for view in desired), len(desired)


def settled_storage(new: NodeStorageStatus, old: NodeStorageStatus | None) -> NodeStorageStatus:
    """The old numbers while only the free space has moved, by less than a hundredth: others write on that disk too."""
    if old is None or (new.limit, new.used, new.reserved) != (old.limit, old.used, old.reserved):
        return new
    return old if abs(new.available - old.available) * 100 < max(new.limit, 1) else new


def without_progress(status: LocalModelNodeStatus) -> LocalModelNodeStatus:
    """The status less what moves all the time: two that are equal then differ in nothing that matters at once."""
    models = tuple(
        msgspec.structs.replace(model, bytes_done=0, bytes_per_second=0, last_used_time=None) for model in status.models
    )
    storage = status.storage
    if storage is not None:
        storage = msgspec.structs.replace(storage, available=0)
    return msgspec.structs.replace(status, models=models, storage=storage)


def summary(models: Mapping[str, CopyState]) -> str:
    """One line for people: `3 Downloaded, 1 Evicted`."""
    counts: dict[str, int] = {}
    for state in models.values():
        counts[state.value] = counts.get(state.value, 0) + 1
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
