"""Checking a copy against its manifest: its shape in a moment, its bytes by reading them all."""

from __future__ import annotations

import enum
from collections.abc import Callable

import msgspec

from cachecore.errors import PathMissing
from cachecore.ports import Disk
from cachecore.store import layout, manifest
from cachecore.store.digest import PART_BYTES, DigestedFile, file_digest, part_ranges, tree_digest
from cachecore.store.tree import list_tree


class Damage(enum.StrEnum):
    """What can be wrong with a copy."""

    NO_MANIFEST = "no-manifest"
    BAD_MANIFEST = "bad-manifest"
    MISSING = "missing"
    EXTRA = "extra"
    SYMLINK = "symlink"
    WRONG_SIZE = "wrong-size"
    CORRUPT = "corrupt"
    UNREADABLE = "unreadable"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with one file, or with the whole copy: `path` is empty then.

    `offset_bytes` and `length_bytes` tell where the corrupt part lies.
    """

    path: str = ""
    damage: Damage
    message: str
    offset_bytes: int | None = None
    length_bytes: int | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """`found` is empty when the copy is whole; `digest` is empty when a file could not be read."""

    key: str
    source_model_uri: str = ""
    expected_digest: str = ""
    digest: str = ""
    files: int = 0
    size_bytes: int = 0
    found: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.found

    @property
    def problems(self) -> tuple[str, ...]:
        """A line each."""
        return tuple(str(problem) for problem in self.found)


async def shape_problems(disk: Disk, path: str, expected: manifest.Manifest) -> tuple[str, ...]:
    """What is missing, too many, or of another size below `path`, a line each. Reads no content."""
    return tuple(str(problem) for problem in await _wrong_shapes(disk, path, expected))


async def _wrong_shapes(disk: Disk, path: str, expected: manifest.Manifest) -> list[Problem]:
    try:
        found = {file.path: file for file in await list_tree(disk, path)}
    except PathMissing:
        return [Problem(damage=Damage.MISSING, message="the folder is missing")]
    problems = []
    for file in expected.files:
        there = found.pop(file.path, None)
        if there is None:
            problems.append(Problem(path=file.path, damage=Damage.MISSING, message="missing"))
        elif there.is_symlink:
            problems.append(Problem(path=file.path, damage=Damage.SYMLINK, message="a symlink instead of a file"))
        elif there.size_bytes != file.size_bytes:
            message = f"{there.size_bytes} bytes instead of {file.size_bytes}"
            problems.append(Problem(path=file.path, damage=Damage.WRONG_SIZE, message=message))
    problems += [Problem(path=path, damage=Damage.EXTRA, message="not in the manifest") for path in found]
    return problems


async def checksum_parts(
    disk: Disk,
    path: str,
    size_bytes: int,
    part_bytes: int,
    *,
    progress: Callable[[int], None] = lambda read_bytes: None,
) -> tuple[str, ...]:
    """The part digests of one file, by reading it; `progress` is told the length of each part that was read."""
    digests = []
    for offset_bytes, length_bytes in part_ranges(size_bytes, part_bytes):
        digests.append(await disk.checksum(path, offset_bytes, length_bytes))
        progress(length_bytes)
    return tuple(digests)


async def verify_copy(
    disk: Disk, key: str, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> VerifyReport:
    """Recompute the digest of the published copy `key` and compare it with its manifest.

    `progress` is told the bytes read so far and those to read. Raises `DiskError` other than for what is missing.
    """
    where = layout.manifest_path(key)
    try:
        expected = manifest.decode(await disk.read(where))
    except PathMissing:
        return VerifyReport(key=key, found=(Problem(path=where, damage=Damage.NO_MANIFEST, message="missing"),))
    except manifest.UnreadableManifest as error:
        return VerifyReport(key=key, found=(Problem(path=where, damage=Damage.BAD_MANIFEST, message=str(error)),))
    problems = await _wrong_shapes(disk, layout.published_path(key), expected)
    if expected.key != key:
        message = f"is the manifest of {expected.key}"
        problems.insert(0, Problem(path=where, damage=Damage.BAD_MANIFEST, message=message))
    unreadable = {problem.path for problem in problems if problem.damage is not Damage.EXTRA}
    digested = []
    done_bytes = 0

    def advance(read_bytes: int) -> None:
        nonlocal done_bytes
        done_bytes += read_bytes
        progress(done_bytes, expected.size_bytes)

    for file in expected.files:
        if file.path in unreadable or "" in unreadable:
            continue
        path = f"{layout.published_path(key)}/{file.path}"
        parts = await checksum_parts(disk, path, file.size_bytes, expected.part_bytes, progress=advance)
        problems += _corrupt_parts(file, parts, expected.part_bytes)
        digested.append(DigestedFile(file.path, file.size_bytes, file_digest(parts)))
    return VerifyReport(
        key=key,
        source_model_uri=expected.source_model_uri,
        expected_digest=expected.digest,
        digest=tree_digest(digested, expected.part_bytes) if len(digested) == len(expected.files) else "",
        files=len(expected.files),
        size_bytes=expected.size_bytes,
        found=tuple(problems),
    )


def _corrupt_parts(file: manifest.ManifestFile, parts: tuple[str, ...], part_bytes: int) -> list[Problem]:
    if file.digest == file_digest(parts) and file.parts == parts:
        return []
    ranges = list(part_ranges(file.size_bytes, part_bytes))
    corrupt = [
        Problem(
            path=file.path,
            damage=Damage.CORRUPT,
            message=f"other bytes than were downloaded, in the {length_bytes} bytes from offset {offset_bytes}",
            offset_bytes=offset_bytes,
            length_bytes=length_bytes,
        )
        for (offset_bytes, length_bytes), digest, expected in zip(ranges, parts, file.parts, strict=False)
        if digest != expected
    ]
    if corrupt and len(file.parts) == len(parts):
        return corrupt
    # The agent writes no such manifest, but a disk may lose bits there as well.
    return [Problem(path=file.path, damage=Damage.BAD_MANIFEST, message="the manifest contradicts itself about it")]


async def digest_folder(
    disk: Disk, path: str, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> VerifyReport:
    """The digest of a folder that is no copy of a store: what a copy with these files would have.

    A symlink is a problem, as in a copy. Raises `DiskError`.
    """
    files = await list_tree(disk, path)
    total_bytes = sum(file.size_bytes for file in files)
    links = [file.path for file in files if file.is_symlink]
    digested = []
    done_bytes = 0

    def advance(read_bytes: int) -> None:
        nonlocal done_bytes
        done_bytes += read_bytes
        progress(done_bytes, total_bytes)

    for file in files if not links else ():
        parts = await checksum_parts(disk, f"{path}/{file.path}", file.size_bytes, PART_BYTES, progress=advance)
        digested.append(DigestedFile(file.path, file.size_bytes, file_digest(parts)))
    return VerifyReport(
        key="",
        digest=tree_digest(digested) if digested else "",
        files=len(files),
        size_bytes=total_bytes,
        found=tuple(Problem(path=path, damage=Damage.SYMLINK, message="a symlink") for path in links),
    )
