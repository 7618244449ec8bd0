"""The Disk port of one process, through its gate. A subject says what a path is: `copy/llama`, `manifest/llama`."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from cachecore.ports import Allocation, ChecksumAlgorithm, DirectoryEntry, Disk, DiskUsage
from cachecore.store import layout
from cachesim.faults.gate import Gate

_KEY = re.compile(r"[0-9a-f]{16}")


class Subjects:
    """The names of paths: what they are in the store's layout, and of which model."""

    def __init__(self, model_of: Callable[[str], str]) -> None:
        self._model_of = model_of
        self._names: dict[str, str] = {}

    def of(self, path: str) -> str:
        name = self._names.get(path)
        if name is None:
            name = self._names[path] = self._name(path)
        return name

    def _name(self, path: str) -> str:
        found = _KEY.search(path)
        if found is None:
            return path.removeprefix(f"{layout.PRIVATE_DIRECTORY}/") or "root"
        key = found.group()
        model = self._model_of(key)
        for what, prefix in (
            ("copy", layout.published_path(key)),
            ("view", layout.view_path(key)),
            ("journal", layout.staging_journal_path(key)),
            ("staging", layout.staging_path(key)),
            ("manifest", layout.manifest_path(key)),
            ("trash", layout.TRASH_PATH),
            ("legacy", layout.legacy_path(key)),
        ):
            if f"{path}/".startswith(f"{prefix}/"):
                return f"{what}/{model}"
        return f"other/{model}"


class GatedDisk:
    """What a Disk is asked, a site each; a rename is named after its target."""

    def __init__(self, disk: Disk, gate: Gate, subjects: Subjects) -> None:
        self._disk = disk
        self._gate = gate
        self._subjects = subjects

    def usage(self) -> Coroutine[Any, Any, DiskUsage]:
        return self._gate.call("usage", "root", self._disk.usage)

    def exists(self, path: str) -> Coroutine[Any, Any, bool]:
        return self._gate.call("exists", self._subjects.of(path), lambda: self._disk.exists(path))

    def list_directory(self, path: str) -> Coroutine[Any, Any, list[DirectoryEntry]]:
        return self._gate.call("list_directory", self._subjects.of(path), lambda: self._disk.list_directory(path))

    def read(self, path: str) -> Coroutine[Any, Any, bytes]:
        return self._gate.call("read", self._subjects.of(path), lambda: self._disk.read(path))

    def write(self, path: str, content: bytes) -> Coroutine[Any, Any, None]:
        return self._gate.call("write", self._subjects.of(path), lambda: self._disk.write(path, content))

    def make_directory(self, path: str) -> Coroutine[Any, Any, None]:
        return self._gate.call("make_directory", self._subjects.of(path), lambda: self._disk.make_directory(path))

    def append(self, path: str, content: bytes, *, durable: bool) -> Coroutine[Any, Any, None]:
        return self._gate.call(
            "append", self._subjects.of(path), lambda: self._disk.append(path, content, durable=durable)
        )

    def allocate(self, files: Sequence[Allocation]) -> Coroutine[Any, Any, None]:
        subject = self._subjects.of(files[0].path) if files else "root"
        return self._gate.call("allocate", subject, lambda: self._disk.allocate(files))

    def shrink(self, path: str, size_bytes: int) -> Coroutine[Any, Any, bool]:
        return self._gate.call("shrink", self._subjects.of(path), lambda: self._disk.shrink(path, size_bytes))

    def checksum(
        self,
        path: str,
        offset_bytes: int,
        length_bytes: int,
        algorithm: ChecksumAlgorithm = ChecksumAlgorithm.BLAKE3,
    ) -> Coroutine[Any, Any, str]:
        return self._gate.call(
            "checksum",
            self._subjects.of(path),
            lambda: self._disk.checksum(path, offset_bytes, length_bytes, algorithm),
        )

    def warm(self, path: str) -> Coroutine[Any, Any, None]:
        return self._gate.call("warm", self._subjects.of(path), lambda: self._disk.warm(path))

    def sync_tree(self, path: str) -> Coroutine[Any, Any, None]:
        return self._gate.call("sync_tree", self._subjects.of(path), lambda: self._disk.sync_tree(path))

    def rename(self, source: str, target: str) -> Coroutine[Any, Any, None]:
        return self._gate.call("rename", self._subjects.of(target), lambda: self._disk.rename(source, target))

    def remove_tree(self, path: str) -> Coroutine[Any, Any, None]:
        return self._gate.call("remove_tree", self._subjects.of(path), lambda: self._disk.remove_tree(path))
