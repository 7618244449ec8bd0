"""A node's disk with real files: every verb goes through the production adapter, below a directory of the run's own.

The tree in memory of the flow fidelity stays beside it: it knows the capacity, which small files on a large file system
don't, and it says what each verb should have answered. Where the two differ, one of them is wrong.
"""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import stat
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import blake3
import msgspec

from cacheagent.adapters.part_files import BUFFER_BYTES_MIN
from cacheagent.adapters.part_mover import RangeMover
from cacheagent.adapters.posix_disk import PosixDisk
from cachecore.errors import DiskError, DiskFull
from cachecore.ports import (
    Allocation,
    ChecksumAlgorithm,
    DirectoryEntry,
    DiskUsage,
    MovedPart,
    ObjectInfo,
    ObjectStore,
    Part,
)
from cachecore.store.layout import STAGING_PATH
from cachesim.disk import DiskEvent, DiskWorld
from cachesim.disk_file import File
from cachesim.real.graves import Graves, remove
from cachesim.real.ground import Ground

T = TypeVar("T")


class RealDiskWorld(DiskWorld):
    """`digests`: the blake3 of each version of each object, by location and etag.

    `differs` is told, in words, where the production adapter did otherwise than the tree in memory.
    """

    def __init__(
        self,
        capacity_bytes: int,
        directory: pathlib.Path,
        ground: Ground,
        *,
        digests: Mapping[tuple[str, str], str],
        differs: Callable[[str], None],
    ) -> None:
        super().__init__(capacity_bytes)
        self.directory = directory
        self._ground = ground
        self._digests = digests
        self._differs = differs
        self._posix = PosixDisk(str(directory))
        # One part moves at a time: everything real is done one after the other.
        self._mover = RangeMover(self._posix, connections=1, memory_bytes=BUFFER_BYTES_MIN, driver_parts=1)
        self._graves = Graves(directory.with_name(f"{directory.name}-unlinked"))
        self._held_back: list[DiskEvent] | None = None
        self._known: dict[str, tuple[tuple[int, int, int], str]] = {}
        ground.when_closing(self._posix.close)
        ground.when_closing(self._mover.close)

    def usage(self) -> DiskUsage:
        """The room is the scenario's. The adapter is asked because it remembers what it saw."""
        self._ground.run(self._posix.usage())
        return super().usage()

    def exists(self, path: str) -> bool:
        return self._both(partial(super().exists, path), partial(self._posix.exists, path))

    def list_directory(self, path: str) -> list[DirectoryEntry]:
        return self._both(partial(super().list_directory, path), partial(self._list_directory, path))

    def read(self, path: str) -> bytes:
        return self._both(partial(super().read, path), partial(self._posix.read, path))

    def write(self, path: str, content: bytes) -> None:
        self._both(partial(super().write, path, content), partial(self._posix.write, path, content))

    def make_directory(self, path: str) -> None:
        self._both(partial(super().make_directory, path), partial(self._posix.make_directory, path))

    def append(self, path: str, content: bytes, *, durable: bool) -> None:
        self._both(
            partial(super().append, path, content, durable=durable),
            partial(self._posix.append, path, content, durable=durable),
        )

    def allocate(self, file: Allocation) -> None:
        self._both(partial(super().allocate, file), partial(self._posix.allocate, [file]))

    def shrink(self, path: str, size_bytes: int) -> bool:
        return self._both(partial(super().shrink, path, size_bytes), partial(self._posix.shrink, path, size_bytes))

    def checksum(self, path: str, offset_bytes: int, length_bytes: int, algorithm: ChecksumAlgorithm) -> str:
        """The tree in memory has the digests of whole parts only, so the real file alone is asked."""
        return self._ground.run(self._posix.checksum(path, offset_bytes, length_bytes, algorithm))

    def warm(self, path: str) -> None:
        self._ground.run(self._posix.warm(path))

    def sync_tree(self, path: str) -> None:
        self._both(partial(super().sync_tree, path), partial(self._posix.sync_tree, path))

    def rename(self, source: str, target: str) -> None:
        self._both(partial(super().rename, source, target), partial(self._posix.rename, source, target))

    def remove_tree(self, path: str) -> None:
        node = self.find(path)
        if node is not None:
            self._graves.keep(self.directory / path, path, node, self._unlinked)
        self._both(partial(super().remove_tree, path), partial(self._posix.remove_tree, path))

    def move(self, store: ObjectStore, part: Part) -> MovedPart:
        """Fetch one part, through the production mover."""
        moved = self._ground.run(self._mover.move(store, [part]))[0]
        self.write_part(part.path, part.offset_bytes, part.length_bytes, moved.digest)
        return moved

    def wipe(self) -> None:
        for entry in self.directory.iterdir():
            remove(entry)
        super().wipe()

    def lose_power(self, chance: random.Random) -> None:
        """What the tree in memory has lost, the real files lose."""
        before = {path: dict(file.parts) for path, file in self.files("")}
        with self._holding_back() as events:
            super().lose_power(chance)
        self._graves.give_back(self)
        modelled = dict(self.files(""))
        for path, _ in list(self._real_files("")):
            if path not in modelled:
                (self.directory / path).unlink()
        for path, file in modelled.items():
            os.truncate(self.directory / path, file.size_bytes)
            for offset, (length, _) in before.get(path, {}).items():
                if offset not in file.parts:
                    self._overwrite(path, offset, bytes(length))
        self._tell_all(events)

    def flip_bit(self) -> None:
        parts = ((f"{STAGING_PATH}/{path}", offset) for path, file in self.files(STAGING_PATH) for offset in file.parts)
        path, offset = next(parts, ("", 0))
        if path:
            self._overwrite(path, offset, bytes([self._byte(path, offset) ^ 1]))
        super().flip_bit()

    def harm(self, path: str, *, cut: bool) -> None:
        if cut:
            os.truncate(self.directory / path / next(self.files(path))[0], 0)
        else:
            shutil.rmtree(self.directory / path)
        super().harm(path, cut=cut)

    def become(self, other: DiskWorld) -> None:
        super().become(other)
        if isinstance(other, RealDiskWorld):
            shutil.copytree(other.directory, self.directory, symlinks=True, dirs_exist_ok=True)

    def changed(self, verb: str, path: str, target: str = "") -> None:
        if self._held_back is not None:
            self._held_back.append(DiskEvent(verb, path, target))
            return
        # Times of files are too coarse to show a change that follows at once.
        self._known.pop(path, None)
        super().changed(verb, path, target)

    def holds(self, path: str, objects: Sequence[ObjectInfo]) -> bool:
        """By checksum of the real bytes."""
        found = dict(self._real_files(path))
        if {name: status.st_size for name, status in found.items()} != {item.path: item.size_bytes for item in objects}:
            return False
        return all(
            self._digest(f"{path}/{item.path}", found[item.path]) == self._digests[item.location, item.etag]
            for item in objects
        )

    def differences(self) -> list[str]:
        """Where the tree in memory and the real one are not the same now; for the end of a run."""
        modelled = {name: file.size_bytes for name, file in self.files("")}
        real = {name: status.st_size for name, status in self._real_files("")}
        return [
            f"{name}: {modelled.get(name)} bytes in memory, {real.get(name)} on the file system"
            for name in sorted({*modelled, *real})
            if modelled.get(name) != real.get(name)
        ]

    def _both(self, modelled: partial[T], real: partial[Coroutine[Any, Any, T]]) -> T:
        """The answer of the production adapter; observers are called when the real files have changed, too."""
        expected: T | None = None
        refusal: DiskError | None = None
        with self._holding_back() as events:
            try:
                expected = modelled()
            except DiskFull:
                # Of which the large file system below knows nothing.
                raise
            except DiskError as error:
                refusal = error
        try:
            answer = self._ground.run(real())
        except DiskError as error:
            if type(error) is not type(refusal):
                self._tell(modelled, error, expected if refusal is None else refusal)
            raise
        if refusal is not None or answer != expected:
            self._tell(modelled, answer, expected if refusal is None else refusal)
        self._tell_all(events)
        return answer

    @contextmanager
    def _holding_back(self) -> Iterator[list[DiskEvent]]:
        """Nobody is told of a change before the real files have it."""
        events: list[DiskEvent] = []
        self._held_back = events
        try:
            yield events
        finally:
            self._held_back = None

    def _tell_all(self, events: Sequence[DiskEvent]) -> None:
        for event in events:
            self._compare(event.path)
            self._compare(event.target)
            self.changed(event.verb, event.path, event.target)

    def _tell(self, verb: partial[Any], answer: object, expected: object) -> None:
        words = " ".join([verb.func.__name__, *(str(argument)[:80] for argument in verb.args)])
        self._differs(f"{words}: the file system answers {answer!r:.200}, the model of it {expected!r:.200}")

    def _byte(self, path: str, offset_bytes: int) -> int:
        with (self.directory / path).open("rb") as file:
            file.seek(offset_bytes)
            return file.read(1)[0]

    def _overwrite(self, path: str, offset_bytes: int, content: bytes) -> None:
        with (self.directory / path).open("r+b") as file:
            file.seek(offset_bytes)
            file.write(content)
        self._known.pop(path, None)

    def _compare(self, path: str) -> None:
        if not path:
            return
        node = self.find(path)
        try:
            status = os.lstat(self.directory / path)
        except OSError:
            real = None
        else:
            real = status.st_size if stat.S_ISREG(status.st_mode) else -1
        modelled = None if node is None else node.size_bytes if isinstance(node, File) else -1
        if real != modelled:
            self._differs(f"{path}: {modelled} in memory, {real} on the file system (bytes; None: missing, -1: folder)")

    async def _list_directory(self, path: str) -> list[DirectoryEntry]:
        """Without the wall-clock times, which would be others in every run."""
        found = await self._posix.list_directory(path)
        return [msgspec.structs.replace(entry, modified_seconds=0.0) for entry in found]

    def _real_files(self, path: str) -> Iterator[tuple[str, os.stat_result]]:
        top = self.directory / path
        for folder, _, names in os.walk(top):
            for name in names:
                file = pathlib.Path(folder, name)
                yield str(file.relative_to(top)), file.lstat()

    def _digest(self, path: str, status: os.stat_result) -> str:
        version = (status.st_ino, status.st_mtime_ns, status.st_size)
        known = self._known.get(path)
        if known is None or known[0] != version:
            content = (self.directory / path).read_bytes() if stat.S_ISREG(status.st_mode) else b""
            known = self._known[path] = (version, blake3.blake3(content).hexdigest())
        return known[1]
