"""One file of a disk in memory."""

from __future__ import annotations

import blake3

from cachecore.ports import ObjectInfo
from cachesim.tokens import part_token


class File:
    """Bytes (`content`), or the parts that were written to an allocated file: {offset: (length, token)}."""

    __slots__ = ("content", "durable_bytes", "lasting", "parts", "size_bytes", "synced")

    def __init__(self, content: bytes | None = None, size_bytes: int = 0, *, durable_bytes: int | None = None) -> None:
        self.content = content
        self.size_bytes = len(content) if content is not None else size_bytes
        self.parts: dict[int, tuple[int, str]] = {}
        # What a loss of power leaves: so much of the content, these parts, the file at all.
        self.durable_bytes = len(content or b"") if durable_bytes is None else durable_bytes
        self.synced: set[int] = set()
        self.lasting = self.durable_bytes > 0

    def sync(self) -> None:
        """fsync: all of it survives from now on."""
        self.durable_bytes = len(self.content or b"")
        self.synced = set(self.parts)
        self.lasting = True

    def checksum(self, offset_bytes: int, length_bytes: int) -> str:
        if self.content is not None:
            return blake3.blake3(self.content[offset_bytes : offset_bytes + length_bytes]).hexdigest()
        length, token = self.parts.get(offset_bytes, (-1, ""))
        if length == length_bytes:
            return token
        return blake3.blake3(f"unwritten {offset_bytes} {length_bytes}".encode()).hexdigest()

    def holds(self, source: ObjectInfo) -> bool:
        """Whether it is that version of an object."""
        return self.whole() and all(
            part_token(source, offset, length) == token for offset, (length, token) in self.parts.items()
        )

    def whole(self) -> bool:
        """Whether every byte of an allocated file has been written."""
        if self.content is not None:
            return True
        position = 0
        while position < self.size_bytes and position in self.parts:
            position += self.parts[position][0]
        return position == self.size_bytes
