"""What the agent knows of each key while it runs. All of it can be lost: the disk and the API server have the rest."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from cacheagent.demand import Recipe
from cacheagent.listing import Listing
from cacheagent.planning import Work
from cacheagent.transfer import Progress
from cachecore.ports import Credentials, ObjectStore
from cachecore.resources.serving import LocalModelInfo


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why the last attempt failed.

    `retry_at_seconds` is Unix time, for people; `due_seconds` is monotonic, so that a clock that jumps delays nothing.
    """

    reason: str
    message: str
    attempts: int
    retry_at_seconds: float
    due_seconds: float
    recipe: Recipe = ()


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A source that has been listed, the store that answered, and whose credentials it accepted."""

    store: ObjectStore
    listing: Listing
    recipe: Recipe
    entry: LocalModelInfo
    credentials: Credentials


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One key. `rate` is bytes per second, smoothed; `rejected` are paths that turned out not to be the model.

    `start_at_seconds` is the monotonic time before which nothing begins unless a pod waits; None until it is drawn.
    """

    key: str
    work: Work = Work.NONE
    source: Source | None = None
    progress: Progress | None = None
    progress_seconds: float = 0.0
    rate: float = 0.0
    began_seconds: float = 0.0
    failure: Failure | None = None
    evicting: tuple[str, str] | None = None
    rejected: tuple[str, ...] = ()
    start_at_seconds: float | None = None


class Records:
    """The records by key; a key without one has the default."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def get(self, key: str) -> Record:
        return self._records.get(key) or Record(key=key)

    def change(self, key: str, **fields: object) -> Record:
        changed = msgspec.structs.replace(self.get(key), **fields)
        self._records[key] = changed
        return changed

    def forget(self, key: str) -> None:
        self._records.pop(key, None)

    def __iter__(self) -> Iterator[Record]:
        return iter([self._records[key] for key in sorted(self._records)])


def with_progress(record: Record, progress: Progress, now: float) -> Record:
    """The record after a report; the rate is smoothed over about the last five seconds."""
    before = record.progress
    elapsed = now - record.progress_seconds
    if before is None or record.progress_seconds == 0.0:
        return msgspec.structs.replace(record, progress=progress, progress_seconds=now)
    if elapsed < 0.5:
        return msgspec.structs.replace(
            record, progress=msgspec.structs.replace(progress, fetched_bytes=before.fetched_bytes)
        )
    rate = (progress.fetched_bytes - before.fetched_bytes) / elapsed
    weight = min(elapsed / 5.0, 1.0)
    smoothed = rate if record.rate == 0.0 else record.rate + weight * (rate - record.rate)
    return msgspec.structs.replace(record, progress=progress, progress_seconds=now, rate=max(smoothed, 0.0))
