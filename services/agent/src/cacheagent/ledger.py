"""What a node remembers of its models beyond the copies it holds: when each arrived, was used, was evicted, its size.

It is on disk, so that a restart of the agent is no event in a model's life: an evicted one doesn't come back for it.
"""

from __future__ import annotations

import msgspec

from cachecore.errors import PathMissing
from cachecore.eviction import Usage
from cachecore.ports import Disk
from cachecore.store import layout

# The clocks of a node and of the API server may differ by so much; more is a clock that was wrong.
AHEAD_SECONDS_MAX = 300.0


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One key. `size_bytes` is what the source or a manifest said last, 0 when neither has; times are Unix seconds."""

    usage: Usage = Usage()
    size_bytes: int = 0
    evicted_seconds: float = 0.0
    evicted_reason: str = ""
    evicted_message: str = ""


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """`inflation` is the clock of GreedyDualSize."""

    version: int = 1
    inflation: float = 0.0
    entries: dict[str, LedgerEntry] = {}


def not_ahead(ledger: Ledger, now: float) -> Ledger:
    """The ledger without times that are still to come, which a clock that was wrong has noted: they become now.

    Else a model that was used then would be the last to go until that time. Their order among each other stays.
    """
    latest = now + AHEAD_SECONDS_MAX
    ahead = sorted({time for entry in ledger.entries.values() for time in _times(entry) if time > latest}, reverse=True)
    if not ahead:
        return ledger
    settled = {time: now - rank / 1000.0 for rank, time in enumerate(ahead)}
    entries = {key: _with_times(entry, settled) for key, entry in ledger.entries.items()}
    return msgspec.structs.replace(ledger, entries=entries)


def _times(entry: LedgerEntry) -> tuple[float, float, float]:
    return entry.usage.arrived_seconds, entry.usage.last_used_seconds, entry.evicted_seconds


def _with_times(entry: LedgerEntry, settled: dict[float, float]) -> LedgerEntry:
    arrived, last_used, evicted = (settled.get(time, time) for time in _times(entry))
    usage = msgspec.structs.replace(entry.usage, arrived_seconds=arrived, last_used_seconds=last_used)
    return msgspec.structs.replace(entry, usage=usage, evicted_seconds=evicted)


async def load(disk: Disk) -> Ledger:
    """An unreadable ledger is an empty one: it only makes the ranking forget. Raises `DiskError`."""
    try:
        return msgspec.json.decode(await disk.read(layout.LEDGER_PATH), type=Ledger)
    except (PathMissing, msgspec.DecodeError, UnicodeDecodeError):
        return Ledger()


async def save(disk: Disk, ledger: Ledger) -> None:
    await disk.make_directory(layout.PRIVATE_DIRECTORY)
    ordered = msgspec.structs.replace(ledger, entries=dict(sorted(ledger.entries.items())))
    await disk.write(layout.LEDGER_PATH, msgspec.json.encode(ordered))
