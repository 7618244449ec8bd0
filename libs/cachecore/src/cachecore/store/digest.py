"""The digest of a model: blake3 tree digest, version 1.

A file is cut into parts of `PART_BYTES`; the last one may be shorter, an empty file has none.

- part digest: blake3 of the part's bytes
- file digest: blake3 of the concatenated raw part digests (32 bytes each)
- tree digest: blake3 of the line `localmodel-tree/v1 <part bytes>`, then one line per file, sorted by path as UTF-8
  bytes: `<file digest in hex> <size in bytes> <path>`; each line ends with a newline

It is written `blake3:<hex>`. Parts can be checked in any order, while they move, and again when a download resumes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from blake3 import blake3

PART_BYTES = 16 * 2**20
PREFIX = "blake3:"


class DigestedFile(NamedTuple):
    path: str
    size_bytes: int
    digest: str


def part_ranges(size_bytes: int, part_bytes: int = PART_BYTES) -> Iterator[tuple[int, int]]:
    """The (offset, length) of each part of a file."""
    for offset_bytes in range(0, size_bytes, part_bytes):
        yield offset_bytes, min(part_bytes, size_bytes - offset_bytes)


def part_digest(content: bytes) -> str:
    return blake3(content).hexdigest()


def file_digest(part_digests: Iterable[str]) -> str:
    return blake3(b"".join(bytes.fromhex(digest) for digest in part_digests)).hexdigest()


def tree_digest(files: Iterable[DigestedFile], part_bytes: int = PART_BYTES) -> str:
    tree = blake3(f"localmodel-tree/v1 {part_bytes}\n".encode())
    for path, size_bytes, digest in sorted(files, key=lambda file: file.path.encode()):
        tree.update(f"{digest} {size_bytes} {path}\n".encode())
    return PREFIX + tree.hexdigest()


def digest_of_contents(contents: dict[str, bytes], part_bytes: int = PART_BYTES) -> str:
    """The tree digest of files that are in memory: for small models, tests and demonstrations."""
    return tree_digest(
        (
            DigestedFile(
                path,
                len(content),
                file_digest(
                    part_digest(content[offset : offset + length])
                    for offset, length in part_ranges(len(content), part_bytes)
                ),
            )
            for path, content in contents.items()
        ),
        part_bytes,
    )
