"""The store's own checksum of an object, against what has arrived.

The CRC of a whole is made of its parts' CRCs; every other checksum is made by reading the file again. The combination
of CRCs is Mark Adler's (zlib's crc32_combine), as the AWS Common Runtime has it for all three polynomials.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

from awscrt import checksums as crt
from blake3 import blake3

from cachecore.errors import CorruptTransfer
from cachecore.ports import Checksum, ChecksumAlgorithm, Disk, MovedPart, ObjectInfo, Part
from cachecore.store.digest import part_ranges

_UPDATE: dict[ChecksumAlgorithm, Callable[[memoryview | bytes, int], int]] = {
    ChecksumAlgorithm.CRC32: crt.crc32,
    ChecksumAlgorithm.CRC32C: crt.crc32c,
    ChecksumAlgorithm.CRC64NVME: crt.crc64nvme,
}
_COMBINE: dict[ChecksumAlgorithm, tuple[int, Callable[[int, int, int], int]]] = {
    ChecksumAlgorithm.CRC32: (8, crt.combine_crc32),
    ChecksumAlgorithm.CRC32C: (8, crt.combine_crc32c),
    ChecksumAlgorithm.CRC64NVME: (16, crt.combine_crc64nvme),
}


class Running(Protocol):
    """A checksum in the making."""

    def update(self, content: memoryview | bytes, /) -> object: ...

    def hexdigest(self) -> str: ...


class _Crc:
    def __init__(self, algorithm: ChecksumAlgorithm) -> None:
        self._update = _UPDATE[algorithm]
        self._digits = _COMBINE[algorithm][0]
        self._value = 0

    def update(self, content: memoryview | bytes, /) -> None:
        self._value = self._update(content, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:0{self._digits}x}"


def running(algorithm: ChecksumAlgorithm) -> Running:
    """A new checksum of that kind, of no bytes yet."""
    if algorithm is ChecksumAlgorithm.BLAKE3:
        return blake3()
    if algorithm in _UPDATE:
        return _Crc(algorithm)
    return hashlib.new(algorithm.value, usedforsecurity=False)


def checksum_of(algorithm: ChecksumAlgorithm, content: memoryview | bytes) -> str:
    """In hex."""
    made = running(algorithm)
    made.update(content)
    return made.hexdigest()


def from_base64(algorithm: ChecksumAlgorithm, text: str, part_bytes: int = 0) -> Checksum | None:
    """What a store writes in base64; None when it is none."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return Checksum(algorithm=algorithm, value=raw.hex(), part_bytes=part_bytes)


def algorithm_of_parts(expected: Checksum | None, *, parts: int) -> ChecksumAlgorithm | None:
    """What is worth making of each part while it moves: what can be combined, or what the only part settles alone."""
    if expected is None or expected.part_bytes:
        return None
    return expected.algorithm if parts == 1 or expected.algorithm in _COMBINE else None


def combine(algorithm: ChecksumAlgorithm, parts: Sequence[tuple[str, int]]) -> str:
    """The checksum of a whole of the checksums (hex) and lengths of its parts, in their order."""
    if len(parts) == 1:
        return parts[0][0]
    digits, joined = _COMBINE[algorithm]
    whole = 0
    for value, length_bytes in parts:
        whole = joined(whole, int(value, 16), length_bytes)
    return f"{whole:0{digits}x}"


async def check_object(
    disk: Disk, source: ObjectInfo, path: str, expected: Checksum, moved: Sequence[tuple[Part, MovedPart]]
) -> None:
    """Hold the file `path`, whose parts have moved, against what the store knows. Raises `CorruptTransfer`."""
    if moved and all(result.checksum for _, result in moved) and not expected.part_bytes:
        pieces = [(result.checksum, part.length_bytes) for part, result in moved]
        found = combine(expected.algorithm, pieces)
    else:
        found = await _read_again(disk, path, source.size_bytes, expected)
    if found != expected.value:
        raise CorruptTransfer(
            f"{source.location}: what arrived has the {expected.algorithm} {found}, the store says {expected.value}"
        )


async def _read_again(disk: Disk, path: str, size_bytes: int, expected: Checksum) -> str:
    if not expected.part_bytes:
        return await disk.checksum(path, 0, size_bytes, expected.algorithm)
    # S3's composite is made of the raw values, and made with the same algorithm.
    values = [
        await disk.checksum(path, offset, length, expected.algorithm)
        for offset, length in part_ranges(size_bytes, expected.part_bytes)
    ]
    return checksum_of(expected.algorithm, b"".join(bytes.fromhex(value) for value in values))
