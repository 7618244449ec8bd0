"""Which parts of a download are on disk: written as they finish, read when the agent starts again.

Each segment is a small file, replaced atomically, so that a kill at any instant tears none. Parts that finish while a
segment is being written go into the next one together.
"""

from __future__ import annotations

import logging

import msgspec

from cachecore.errors import PathMissing
from cachecore.ports import Disk

logger = logging.getLogger(__name__)


class FinishedPart(msgspec.Struct, frozen=True, array_like=True):
    """A part of one version of one object. A part of another version matches nothing, and is fetched again."""

    path: str
    etag: str
    object_bytes: int
    offset_bytes: int
    length_bytes: int
    digest: str


class Journal:
    """The journal of one download, in the folder `directory`."""

    def __init__(self, disk: Disk, directory: str, *, next_segment: int = 0) -> None:
        self._disk = disk
        self._directory = directory
        self._next_segment = next_segment
        self._pending: list[FinishedPart] = []
        self._writing = False

    @classmethod
    async def load(cls, disk: Disk, directory: str) -> tuple[Journal, list[FinishedPart]]:
        """What an earlier run recorded; a segment that can't be read only costs its parts. Raises `DiskError`."""
        parts: list[FinishedPart] = []
        next_segment = 0
        try:
            names = [entry.name for entry in await disk.list_directory(directory)]
        except PathMissing:
            names = []
        for name in names:
            if not name.isdigit():
                continue
            next_segment = max(next_segment, int(name) + 1)
            try:
                parts += msgspec.json.decode(await disk.read(f"{directory}/{name}"), type=list[FinishedPart])
            except (msgspec.DecodeError, UnicodeDecodeError):
                logger.warning("a segment of the journal can't be read", extra={"path": f"{directory}/{name}"})
        return cls(disk, directory, next_segment=next_segment), parts

    async def record(self, part: FinishedPart) -> None:
        """Note that a part is whole. Returns at once while another coroutine writes: that one takes it along."""
        self._pending.append(part)
        if self._writing:
            return
        self._writing = True
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                path = f"{self._directory}/{self._next_segment:08d}"
                self._next_segment += 1
                await self._disk.write(path, msgspec.json.encode(batch))
        finally:
            self._writing = False
