"""Which parts of a download are on disk: a line each, appended as they finish, read when the agent starts again.

A line is a newline, the CRC-32 of the rest in eight hex digits, a space, and a `FinishedPart` as a JSON array. The
newline comes first: whatever a power loss or a full disk has torn before it costs its own line only. What a line says
is believed when the bytes on disk have its digest, and no sooner.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence

import msgspec

from cachecore.errors import PathMissing
from cachecore.ports import Disk, Runtime

logger = logging.getLogger(__name__)

# What is appended survives a kill at once. A power loss may cost the parts of as many seconds.
DURABLE_SECONDS = 1.0


class FinishedPart(msgspec.Struct, frozen=True, array_like=True):
    """A part of one version of one object. A part of another version matches nothing, and is fetched again.

    `checksum` is `<algorithm>:<hex>`, of the kind that the store knows of the whole object; "" for none.
    """

    path: str
    etag: str
    object_bytes: int
    offset_bytes: int
    length_bytes: int
    digest: str
    checksum: str = ""


class Journal:
    """The journal of one download, in the file `path`."""

    def __init__(self, runtime: Runtime, disk: Disk, path: str) -> None:
        self._runtime = runtime
        self._disk = disk
        self._path = path
        self._durable_at_seconds = runtime.monotonic()

    async def load(self) -> list[FinishedPart]:
        """What an earlier run recorded; a line that can't be read only costs its part. Raises `DiskError`."""
        try:
            content = await self._disk.read(self._path)
        except PathMissing:
            return []
        # A file system may have made a file longer, and lost what was written there: zeros behind a line that counts.
        stripped = (line.rstrip(b"\0") for line in content.split(b"\n"))
        lines = [line for line in stripped if line]
        parts = [part for part in map(_decode, lines) if part is not None]
        if len(parts) < len(lines):
            logger.warning("%d lines of the journal can't be read", len(lines) - len(parts), extra={"path": self._path})
        return parts

    async def record(self, parts: Sequence[FinishedPart]) -> None:
        """Note that parts are whole: when this returns, no kill makes them be fetched again."""
        now = self._runtime.monotonic()
        durable = now - self._durable_at_seconds >= DURABLE_SECONDS
        if durable:
            self._durable_at_seconds = now
        await self._disk.append(self._path, b"".join(map(_encode, parts)), durable=durable)


def _encode(part: FinishedPart) -> bytes:
    text = msgspec.json.encode(part)
    return b"\n%08x %s" % (zlib.crc32(text), text)


def _decode(line: bytes) -> FinishedPart | None:
    crc, _, text = line.partition(b" ")
    if crc != b"%08x" % zlib.crc32(text):
        return None
    try:
        return msgspec.json.decode(text, type=FinishedPart)
    except msgspec.DecodeError:
        return None
