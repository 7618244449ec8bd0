"""What is downloaded: which files, how they are made, and how the server treats their readers."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
from awscrt.checksums import crc64nvme

from downloadbench.server import Behaviour

_BLOCK_BYTES = 64 * 2**20
_GIB = 2**30
# Each further block of a file begins so much later in the random one: a part in the wrong place is another part.
_SHIFT_BYTES = 1_048_583
_READ_BYTES = 4 * 2**20


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """`folder` holds the files below the bucket; workloads that differ in `behaviour` only share it."""

    name: str
    folder: str
    files: tuple[tuple[str, int], ...]
    behaviour: Behaviour = Behaviour()

    @property
    def size_bytes(self) -> int:
        return sum(size for _, size in self.files)


def workloads(scale: float = 1.0) -> dict[str, Workload]:
    """All, by name; `scale` makes big files smaller and many files fewer."""
    big = [(f"model-{number:05}-of-00004.safetensors", _uneven(_GIB * scale)) for number in range(1, 5)]
    few = [(f"config-{number:02}.json", _uneven(2_000 + 997 * number)) for number in range(20)]
    mix = (*big, *few)
    huge = (("model.gguf", _uneven(20 * _GIB * scale)),)
    many = range(max(int(5000 * scale), 1))
    small = tuple((f"part-{number // 500:02}/{number:05}.bin", _uneven(16_384)) for number in many)
    return {
        one.name: one
        for one in (
            Workload(name="mix", folder="mix", files=mix),
            Workload(name="huge", folder="huge", files=huge),
            Workload(name="small", folder="small", files=small),
            Workload(name="mix-delay", folder="mix", files=mix, behaviour=Behaviour(delay_milliseconds=20)),
            Workload(name="mix-503", folder="mix", files=mix, behaviour=Behaviour(refused_percent=1.0)),
        )
    }


def _uneven(size_bytes: float) -> int:
    """A size whose hexadecimal form ends in a letter: nginx' etag ends with it, and one that ended in decimal digits
    would look like S3's of an upload in that many parts.
    """
    return int(size_bytes) | 0xA


def make_files(workload: Workload, data: Path) -> dict[str, str]:
    """The files below `data`, the same random bytes but elsewhere in each, and the CRC64NVME of each in base64."""
    longest = max(size for _, size in workload.files)
    block = memoryview(random.Random(workload.folder).randbytes(min(_BLOCK_BYTES, longest + len(workload.files))))
    checksums = {}
    for number, (path, size_bytes) in enumerate(workload.files):
        file = data / workload.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        checksum = 0
        with file.open("wb", buffering=0) as output:
            for piece in _pieces(block, number, size_bytes):
                output.write(piece)
                checksum = crc64nvme(piece, checksum)
        checksums[f"{workload.folder}/{path}"] = base64.b64encode(checksum.to_bytes(8, "big")).decode()
    return checksums


def _pieces(block: memoryview, start: int, size_bytes: int) -> Iterator[memoryview]:
    left = size_bytes
    while left:
        start %= len(block)
        piece = block[start : start + left]
        yield piece
        left -= len(piece)
        if left:
            piece = block[: min(start, left)]
            yield piece
            left -= len(piece)
        start += _SHIFT_BYTES


def warm(workload: Workload, data: Path) -> None:
    """Read the files once, so that the server finds them in the page cache, as far as they fit."""
    buffer = bytearray(_READ_BYTES)
    for path, _ in workload.files:
        with (data / workload.folder / path).open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
