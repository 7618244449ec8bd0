"""Which parts a download is made of, and in which order they move. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from cachecore.ports import ObjectInfo, Part
from cachecore.store.digest import part_ranges

Batch: TypeAlias = tuple[Part, ...]

# An object up to this fraction of a part is small: many such are moved one after the other, over one connection.
SMALL_FRACTION = 16
BATCH_PARTS = 64


def parts_of(source: ObjectInfo, files_path: str, part_bytes: int) -> list[Part]:
    """An empty object has none."""
    return [
        Part(source=source, offset_bytes=offset, length_bytes=length, path=f"{files_path}/{source.path}")
        for offset, length in part_ranges(source.size_bytes, part_bytes)
    ]


def batches(parts: Iterable[Part], part_bytes: int) -> list[Batch]:
    """Biggest objects first, so that none is left to move alone at the end; small ones together."""
    ordered = sorted(parts, key=lambda part: (-part.source.size_bytes, part.path, part.offset_bytes))
    made: list[Batch] = []
    batch: list[Part] = []
    taken_bytes = 0
    for part in ordered:
        if part.source.size_bytes * SMALL_FRACTION > part_bytes:
            made.append((part,))
            continue
        if batch and (len(batch) == BATCH_PARTS or taken_bytes + part.length_bytes > part_bytes):
            made.append(tuple(batch))
            batch, taken_bytes = [], 0
        batch.append(part)
        taken_bytes += part.length_bytes
    return [*made, tuple(batch)] if batch else made
