"""A node's disk in the simulated world: the Disk port over a tree in memory.

Small files hold their bytes. Model files hold only what was written where: per part a token that stands for its bytes
and is also its checksum, so that a terabyte costs a few hundred bytes. The tree belongs to the world, not to the agent:
it outlives a crash, and checkers read it directly.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

import blake3
import msgspec

from cachecore.errors import DiskFailure, DiskFull, PathExists, PathMissing
from cachecore.ports import Allocation, ChecksumAlgorithm, DirectoryEntry, DiskUsage, ObjectInfo
from cachecore.store.layout import STAGING_PATH
from cachesim.disk_file import File
from cachesim.runtime import SimpyRuntime

OPERATION_SECONDS = 0.0002
CHECKSUM_BYTES_PER_SECOND = 2.0e9

T = TypeVar("T")


Directory: TypeAlias = "dict[str, File | Directory]"


class DiskEvent(msgspec.Struct, frozen=True):
    """One change of the tree: `verb` is write, allocate, part, make, rename, shrink, remove or wipe."""

    verb: str
    path: str
    target: str = ""


class DiskWorld:
    """The tree itself and its capacity; the observers are called after each change, before its answer.

    The verbs of the port are here, without the time that they take.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.root: Directory = {}
        self.used_bytes = 0
        self.foreign_bytes = 0
        # Unlinked, but the directories have not been synced since.
        self._unlinked: list[tuple[str, File | Directory]] = []
        self.observers: list[Callable[[DiskEvent], None]] = []

    def find(self, path: str) -> File | Directory | None:
        node: File | Directory | None = self.root
        for name in _names(path):
            if not isinstance(node, dict):
                return None
            node = node.get(name)
        return node

    def files(self, path: str) -> Iterator[tuple[str, File]]:
        """Every file below, with its path relative to `path`, sorted."""
        node = self.find(path)
        if isinstance(node, File):
            yield "", node
        elif node is not None:
            yield from _walk(node, "")

    def size_bytes(self, path: str) -> int:
        return sum(file.size_bytes for _, file in self.files(path))

    def holds(self, path: str, objects: Sequence[ObjectInfo]) -> bool:
        """Whether the folder is exactly these objects, each byte written."""
        return are(dict(self.files(path)), objects)

    def wipe(self) -> None:
        """A fresh disk."""
        self.root = {}
        self.foreign_bytes = 0
        self.used_bytes = 0
        self._unlinked = []
        self.changed("wipe", "")

    def parent(self, path: str, *, make: bool = False) -> Directory:
        node: File | Directory = self.root
        for name in _names(path)[:-1]:
            if not isinstance(node, dict):
                raise DiskFailure(f"{path}: a parent is a file")
            if name not in node:
                if not make:
                    raise PathMissing(f"{path}: no such directory")
                node[name] = {}
            node = node[name]
        if not isinstance(node, dict):
            raise DiskFailure(f"{path}: a parent is a file")
        return node

    def resize(self, by_bytes: int) -> None:
        if by_bytes > 0 and self.used_bytes + by_bytes > self.capacity_bytes:
            raise DiskFull(f"no space left on the disk: {self.capacity_bytes - self.used_bytes} bytes are free")
        self.used_bytes += by_bytes

    def changed(self, verb: str, path: str, target: str = "") -> None:
        event = DiskEvent(verb, path, target)
        for observer in self.observers:
            observer(event)

    def usage(self) -> DiskUsage:
        free = max(0, self.capacity_bytes - self.used_bytes)
        return DiskUsage(total_bytes=self.capacity_bytes, free_bytes=free, file_system="disk")

    def exists(self, path: str) -> bool:
        return self.find(path) is not None

    def list_directory(self, path: str) -> list[DirectoryEntry]:
        node = self.find(path)
        if not isinstance(node, dict):
            raise PathMissing(f"{path}: no such directory")
        return [
            DirectoryEntry(
                name=name,
                is_directory=isinstance(child, dict),
                size_bytes=child.size_bytes if isinstance(child, File) else 0,
            )
            for name, child in sorted(node.items())
        ]

    def read(self, path: str) -> bytes:
        node = self.find(path)
        if not isinstance(node, File) or node.content is None:
            raise PathMissing(f"{path}: no such file")
        return node.content

    def write(self, path: str, content: bytes) -> None:
        old = self.find(path)
        self.resize(len(content) - (_size_of(old) if old is not None else 0))
        self.parent(path, make=True)[_names(path)[-1]] = File(content)
        self._unlinked.clear()
        self.changed("write", path)

    def make_directory(self, path: str) -> None:
        if self.find(path) is None:
            self.parent(path, make=True)[_names(path)[-1]] = {}
            self._unlinked.clear()
            self.changed("make", path)

    def append(self, path: str, content: bytes, *, durable: bool) -> None:
        old = self.find(path)
        before = old.content or b"" if isinstance(old, File) else b""
        kept_bytes = old.durable_bytes if isinstance(old, File) else 0
        self.resize(len(content))
        whole = before + content
        self.parent(path, make=True)[_names(path)[-1]] = File(
            whole, durable_bytes=len(whole) if durable else kept_bytes
        )
        self.changed("write", path)

    def allocate(self, file: Allocation) -> None:
        old = self.find(file.path)
        if isinstance(old, File) and old.size_bytes == file.size_bytes:
            return
        self.resize(file.size_bytes - (_size_of(old) if old is not None else 0))
        self.parent(file.path, make=True)[_names(file.path)[-1]] = File(size_bytes=file.size_bytes)
        self.changed("allocate", file.path)

    def shrink(self, path: str, size_bytes: int) -> bool:
        node = self.find(path)
        if not isinstance(node, File) or node.size_bytes <= size_bytes:
            return False
        self.resize(size_bytes - node.size_bytes)
        node.size_bytes = size_bytes
        self.changed("shrink", path)
        return True

    def write_part(self, path: str, offset_bytes: int, length_bytes: int, token: str) -> None:
        node = self.find(path)
        if not isinstance(node, File):
            raise PathMissing(f"{path}: no such file")
        node.parts[offset_bytes] = (length_bytes, token)
        node.synced.discard(offset_bytes)
        self.changed("part", path)

    def checksum(self, path: str, offset_bytes: int, length_bytes: int, algorithm: ChecksumAlgorithm) -> str:
        node = self.find(path)
        if not isinstance(node, File):
            raise PathMissing(f"{path}: no such file")
        return node.checksum(offset_bytes, length_bytes)

    def warm(self, path: str) -> None:
        """Nothing: there is no page cache here."""

    def sync_tree(self, path: str) -> None:
        if self.find(path) is None:
            raise PathMissing(f"{path}: no such file or directory")
        for _, file in self.files(path):
            file.sync()
        self._unlinked.clear()

    def rename(self, source: str, target: str) -> None:
        node = self.find(source)
        if node is None:
            raise PathMissing(f"{source}: no such file or directory")
        replaced = self.find(target)
        if isinstance(replaced, dict) and replaced:
            raise PathExists(f"{target}: the directory is not empty")
        parent = self.parent(target)
        if isinstance(replaced, File):
            self.resize(-replaced.size_bytes)
        del self.parent(source)[_names(source)[-1]]
        parent[_names(target)[-1]] = node
        self._unlinked.clear()
        self.changed("rename", source, target)

    def remove_tree(self, path: str) -> None:
        node = self.find(path)
        if node is None:
            return
        self.resize(-_size_of(node))
        del self.parent(path)[_names(path)[-1]]
        self._unlinked.append((path, node))
        self.changed("remove", path)

    # What only a world can do to a disk.

    def lose_power(self, chance: random.Random) -> None:
        """What was never synced is lost, each piece or not as chance has it; what was unlinked may be back."""
        for path, file in list(self.files("")):
            if not file.lasting and chance.random() < 0.5:
                del self.parent(path)[_names(path)[-1]]
                continue
            if file.content is not None:
                file.content = file.content[: file.durable_bytes]
                file.size_bytes = len(file.content)
            for offset in [offset for offset in file.parts if offset not in file.synced]:
                if chance.random() < 0.5:
                    del file.parts[offset]
        for path, node in self._unlinked:
            if self.find(path) is None and self.find(path.rpartition("/")[0]) is not None and chance.random() < 0.5:
                self.parent(path)[_names(path)[-1]] = node
        self._unlinked.clear()
        self.used_bytes = self.foreign_bytes + _size_of(self.root)
        self.changed("power", "")

    def fill(self, *, full: bool) -> None:
        """Somebody else takes all the room that is left, or gives it back."""
        taken = max(self.capacity_bytes - self.used_bytes, 0) if full else -self.foreign_bytes
        self.foreign_bytes += taken
        self.used_bytes += taken

    def flip_bit(self) -> None:
        """A byte of what is being downloaded changes on the disk; nobody is told."""
        for path, file in self.files(STAGING_PATH):
            for offset, (length, token) in file.parts.items():
                file.parts[offset] = (length, blake3.blake3(f"{path} {token}".encode()).hexdigest())
                return

    def harm(self, path: str, *, cut: bool) -> None:
        """Somebody removes a folder, or cuts its first file off."""
        if cut:
            _, file = next(self.files(path))
            self.resize(-file.size_bytes)
            file.size_bytes = 0
            file.parts.clear()
        else:
            self.resize(-self.size_bytes(path))
            del self.parent(path)[_names(path)[-1]]
        self.changed("harm", "")

    def become(self, other: DiskWorld) -> None:
        """A copy of another disk, as of now."""
        self.wipe()
        self.root = copy.deepcopy(other.root)
        self.used_bytes = self.foreign_bytes + _size_of(self.root)


class SimulatedDisk:
    """The Disk port of one host: each operation takes a moment, in which the host may crash; then the world does it."""

    def __init__(self, runtime: SimpyRuntime, world: DiskWorld) -> None:
        self._runtime = runtime
        self._world = world

    @property
    def world(self) -> DiskWorld:
        return self._world

    async def usage(self) -> DiskUsage:
        await self._take_time()
        return self._world.usage()

    async def exists(self, path: str) -> bool:
        await self._take_time()
        return self._world.exists(path)

    async def list_directory(self, path: str) -> list[DirectoryEntry]:
        await self._take_time()
        return self._world.list_directory(path)

    async def read(self, path: str) -> bytes:
        await self._take_time()
        return self._world.read(path)

    async def write(self, path: str, content: bytes) -> None:
        await self._take_time()
        self._world.write(path, content)

    async def make_directory(self, path: str) -> None:
        await self._take_time()
        self._world.make_directory(path)

    async def append(self, path: str, content: bytes, *, durable: bool) -> None:
        await self._take_time()
        self._world.append(path, content, durable=durable)

    async def allocate(self, files: Sequence[Allocation]) -> None:
        await self._take_time()
        for file in files:
            self._world.allocate(file)

    async def shrink(self, path: str, size_bytes: int) -> bool:
        await self._take_time()
        return self._world.shrink(path, size_bytes)

    async def write_part(self, path: str, offset_bytes: int, length_bytes: int, token: str) -> None:
        """A part whose bytes a token stands for."""
        await self.receive(path, lambda: self._world.write_part(path, offset_bytes, length_bytes, token))

    async def receive(self, path: str, put: Callable[[], T]) -> T:
        """Write what a PartMover has for `path`: `put` does it."""
        await self._take_time()
        return put()

    async def checksum(
        self,
        path: str,
        offset_bytes: int,
        length_bytes: int,
        algorithm: ChecksumAlgorithm = ChecksumAlgorithm.BLAKE3,
    ) -> str:
        await self._runtime.sleep(OPERATION_SECONDS + length_bytes / CHECKSUM_BYTES_PER_SECOND)
        return self._world.checksum(path, offset_bytes, length_bytes, algorithm)

    async def warm(self, path: str) -> None:
        await self._take_time()
        self._world.warm(path)

    async def sync_tree(self, path: str) -> None:
        await self._take_time()
        self._world.sync_tree(path)

    async def rename(self, source: str, target: str) -> None:
        await self._take_time()
        self._world.rename(source, target)

    async def remove_tree(self, path: str) -> None:
        await self._take_time()
        self._world.remove_tree(path)

    async def _take_time(self) -> None:
        await self._runtime.sleep(OPERATION_SECONDS)


def are(files: Mapping[str, File], objects: Sequence[ObjectInfo]) -> bool:
    """Whether the files are exactly these objects, each byte written."""
    if len(files) != len(objects):
        return False
    found = ((files.get(item.path), item) for item in objects)
    return all(file is not None and file.size_bytes == item.size_bytes and file.holds(item) for file, item in found)


def _names(path: str) -> list[str]:
    names = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in names:
        raise DiskFailure(f"{path}: leaves the disk")
    return names


def _walk(directory: Directory, prefix: str) -> Iterator[tuple[str, File]]:
    for name, child in sorted(directory.items()):
        if isinstance(child, File):
            yield prefix + name, child
        else:
            yield from _walk(child, f"{prefix}{name}/")


def _size_of(node: File | Directory) -> int:
    return node.size_bytes if isinstance(node, File) else sum(file.size_bytes for _, file in _walk(node, ""))
