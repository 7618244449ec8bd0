"""What a node remembers of its models beyond the copies it holds: when each arrived, was used, was evicted, its size.

It is on disk, so that a restart of the agent is no event in a model's life: an evicted one doesn't come back for it.
"""

from __future__ import annotations

import msgspec

from cachecore.errors import PathMissing
from cachecore.eviction import Usage
from cachecore.ports import Disk
from cachecore.store import layout


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
