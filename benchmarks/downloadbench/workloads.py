"""What is downloaded: which files, how they are made, and how the server treats their readers."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec

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
    big = [(f"model-{number:05}-of-00004.safetensors", max(int(_GIB * scale), 1)) for number in range(1, 5)]
    few = [(f"config-{number:02}.json", 2_000 + 997 * number) for number in range(20)]
    mix = (*big, *few)
    huge = (("model.gguf", max(int(20 * _GIB * scale), 1)),)
    small = tuple((f"part-{number // 500:02}/{number:05}.bin", 16_384) for number in range(max(int(5000 * scale), 1)))
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


def make_files(workload: Workload, data: Path) -> None:
    """The files below `data`, unless they are there; the same random bytes, elsewhere in each."""
    longest = max(size for _, size in workload.files)
    block = memoryview(random.Random(workload.folder).randbytes(min(_BLOCK_BYTES, longest + len(workload.files))))
    for number, (path, size_bytes) in enumerate(workload.files):
        file = data / workload.folder / path
        if file.exists() and file.stat().st_size == size_bytes:
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as output:
            for piece in _pieces(block, number, size_bytes):
                output.write(piece)
    os.sync()


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
