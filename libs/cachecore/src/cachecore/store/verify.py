"""Checking a copy against its manifest: its shape in a moment, its bytes by reading them all."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cachecore.errors import PathMissing
from cachecore.ports import Disk
from cachecore.store import layout, manifest
from cachecore.store.digest import DigestedFile, file_digest, part_ranges, tree_digest
from cachecore.store.tree import list_tree


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """`problems` is empty when the copy is whole; each one names a file and what is wrong with it."""

    key: str
    source_model_uri: str = ""
    expected_digest: str = ""
    digest: str = ""
    files: int = 0
    size_bytes: int = 0
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


async def shape_problems(disk: Disk, path: str, expected: manifest.Manifest) -> tuple[str, ...]:
    """What is missing, too many, or of another size below `path`. Reads no content."""
    try:
        found = {file.path: file for file in await list_tree(disk, path)}
    except PathMissing:
        return ("the folder is missing",)
    problems = []
    for file in expected.files:
        there = found.pop(file.path, None)
        if there is None:
            problems.append(f"{file.path}: missing")
        elif there.is_symlink:
            problems.append(f"{file.path}: a symlink instead of a file")
        elif there.size_bytes != file.size_bytes:
            problems.append(f"{file.path}: {there.size_bytes} bytes instead of {file.size_bytes}")
    problems += [f"{path}: not in the manifest" for path in found]
    return tuple(problems)


async def checksum_parts(disk: Disk, path: str, size_bytes: int, part_bytes: int) -> tuple[str, ...]:
    """The part digests of one file, by reading it."""
    return tuple([await disk.checksum(path, offset, length) for offset, length in part_ranges(size_bytes, part_bytes)])


async def verify_copy(
    disk: Disk, key: str, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> VerifyReport:
    """Recompute the digest of the published copy `key` and compare it with its manifest.

    `progress` is told the bytes read so far and those to read. Raises `DiskError` other than for what is missing.
    """
    try:
        expected = manifest.decode(await disk.read(layout.manifest_path(key)))
    except PathMissing:
        return VerifyReport(key=key, problems=(f"{layout.manifest_path(key)}: missing",))
    except manifest.UnreadableManifest as error:
        return VerifyReport(key=key, problems=(f"{layout.manifest_path(key)}: {error}",))
    problems = list(await shape_problems(disk, layout.published_path(key), expected))
    damaged = {problem.split(": ", 1)[0] for problem in problems}
    digested = []
    done_bytes = 0
    for file in expected.files:
        if file.path in damaged or problems[:1] == ["the folder is missing"]:
            continue
        path = f"{layout.published_path(key)}/{file.path}"
        parts = await checksum_parts(disk, path, file.size_bytes, expected.part_bytes)
        wrong = [index for index, digest in enumerate(parts) if digest != file.parts[index]]
        if wrong:
            problems.append(f"{file.path}: parts {', '.join(map(str, wrong))} hold other bytes")
        digested.append(DigestedFile(file.path, file.size_bytes, file_digest(parts)))
        done_bytes += file.size_bytes
        progress(done_bytes, expected.size_bytes)
    return VerifyReport(
        key=key,
        source_model_uri=expected.source_model_uri,
        expected_digest=expected.digest,
        digest=tree_digest(digested, expected.part_bytes) if len(digested) == len(expected.files) else "",
        files=len(expected.files),
        size_bytes=expected.size_bytes,
        problems=tuple(problems),
    )
