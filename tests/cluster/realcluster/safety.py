"""What may never be seen from outside, whatever fails: looked at over and over while faults come and go.

By the names of DESIGN.md: S1 and S6, the files that a running pod reads stay the very same files; S2, the bytes on a
disk stay within the limit; S3 and S9, a status that says Downloaded has the whole copy on its disk, and
observedGeneration never falls; S4, a copy that is there is whole; S8, nothing but views and the store's own folder is
on a disk. The others can't be seen by looking: S5 is in no file, S7 is looked at when a cache goes, S10 when a pod is
admitted twice.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeAlias

import msgspec

from cachecore.errors import LocalModelError
from cachecore.names import storage_key
from cachecore.store.layout import LEGACY_PATH, PRIVATE_DIRECTORY, is_key, published_path
from cachesim.apiserver.resources import ResourceType
from realcluster.cluster import RealCluster
from realcluster.node import RealNode

PERIOD_SECONDS = 0.2
_ANSWER_SECONDS = 3.0
# The store's own records, and what the file system adds to each folder.
_RECORDS_BYTES = 2**20
JsonObject: TypeAlias = dict[str, Any]
# Of each file: its path, inode, size and time of change. Whatever is written anew has another.
Identity: TypeAlias = frozenset[tuple[str, int, int, int]]


def kserve_type(kind: str, *, namespaced: bool = False) -> ResourceType:
    return ResourceType(
        group="serving.kserve.io", version="v1alpha1", kind=kind, plural=f"{kind.lower()}s", namespaced=namespaced
    )


CACHE = kserve_type("LocalModelCache")
NODE_STATE = kserve_type("LocalModelNode")


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One that the object store has."""

    name: str
    digest: str
    size_bytes: int

    @property
    def uri(self) -> str:
        return f"s3://models/{self.name}"

    @property
    def key(self) -> str:
        return storage_key(self.uri)


def disk_of(node: RealNode) -> Path:
    """The node's models, as its own processes see them, whatever is mounted there. Raises `OSError` when it is off."""
    return Path(f"/proc/{node.pid}/root/var/lib/localmodel")


def identity(folder: Path) -> Identity:
    """Of the regular files below; what goes meanwhile is left out."""
    found = set()
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                known = os.lstat(path := os.path.join(parent, name))
                if stat.S_ISREG(known.st_mode):
                    found.add((os.path.relpath(path, folder), known.st_ino, known.st_size, known.st_mtime_ns))
    return frozenset(found)


def published(disk: Path, key: str) -> Identity | None:
    """The copy that pods would see; None when there is none, or when it went while it was looked at."""
    folder = disk / published_path(key)
    try:
        before = folder.stat().st_ino
        files = identity(folder)
        return files if folder.stat().st_ino == before else None
    except FileNotFoundError:
        return None


def size_bytes(files: Identity) -> int:
    return sum(size for _, _, size, _ in files)


def allocated_bytes(disk: Path) -> int:
    """All that the disk's files take, each once, though it be renamed meanwhile."""
    found: dict[int, int] = {}
    for parent, _, names in os.walk(disk):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                known = os.lstat(os.path.join(parent, name))
                found[known.st_ino] = known.st_blocks * 512
    return sum(found.values())


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One disk at one moment."""

    copies: Mapping[str, Identity | None]
    allocated_bytes: int
    strangers: tuple[str, ...]


def look_at(disk: Path, models: tuple[Model, ...]) -> Look:
    names = sorted(os.listdir(disk))
    return Look(
        copies={model.key: published(disk, model.key) for model in models},
        allocated_bytes=allocated_bytes(disk),
        strangers=tuple(name for name in names if name not in (PRIVATE_DIRECTORY, LEGACY_PATH) and not is_key(name)),
    )


class SafetyWatch:
    """`with SafetyWatch(...) as watch:` looks until the end; `watch.check()` says what it has seen so far.

    `kept` are copies that a pod reads, as (node, key): they stay what they were when the watch began.
    """

    def __init__(
        self, cluster: RealCluster, models: tuple[Model, ...], limit_bytes: int, kept: tuple[tuple[str, str], ...]
    ) -> None:
        self.looks = 0
        self._cluster = cluster
        self._models = models
        self._limit_bytes = limit_bytes
        self._kept = {(node, key): published(disk_of(cluster.nodes[node]), key) for node, key in kept}
        self._generations: dict[str, int] = {}
        self._broken: dict[str, None] = {}
        self._left_out: set[str] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="safety")

    def __enter__(self) -> Self:
        assert None not in self._kept.values(), "what shall be kept is not there"
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def check(self) -> None:
        assert not self._broken, "; ".join(self._broken)
        # One that is too slow to look proves nothing; one that died has looked before.
        assert self._thread.is_alive()
        assert self.looks > 0

    @contextlib.contextmanager
    def without(self, node: str) -> Iterator[None]:
        """Whose disk is changed by hands other than ours meanwhile."""
        self._left_out.add(node)
        yield
        self._left_out.discard(node)

    def _watch(self) -> None:
        while not self._stopped.wait(PERIOD_SECONDS):
            nodes = {name: node for name, node in self._cluster.nodes.items() if name not in self._left_out}
            before = self._listed(NODE_STATE)
            seen: dict[str, Look] = {}
            for name, node in nodes.items():
                # One that is off has no disk to look at.
                with contextlib.suppress(OSError, AssertionError, IndexError):
                    seen[name] = look_at(disk_of(node), self._models)
            after = self._listed(NODE_STATE)
            for name in seen.keys() - self._left_out:
                self._judge_disk(name, seen[name])
                if name in before and name in after:
                    self._judge_status(name, before[name], seen[name], after[name])
            for told in (*after.values(), *self._listed(CACHE).values()):
                self._judge_generation(told)
            self.looks += 1

    def _listed(self, kind: ResourceType) -> dict[str, JsonObject]:
        """By name; empty while the API server does not answer, which is a fault that is none of ours."""
        try:
            found = self._cluster.run(self._cluster.plane.verbs.list(kind), _ANSWER_SECONDS)
        except (LocalModelError, TimeoutError):
            return {}
        return {item["metadata"]["name"]: item for item in found["items"]}

    def _judge_disk(self, node: str, look: Look) -> None:
        for model in self._models:
            copy = look.copies[model.key]
            if copy is not None and size_bytes(copy) != model.size_bytes:
                self._break(f"S4: {node} shows {size_bytes(copy)} of {model.size_bytes} bytes of {model.name}")
        if look.allocated_bytes > self._limit_bytes + _RECORDS_BYTES:
            self._break(f"S2: {node} has {look.allocated_bytes} bytes on its disk, the limit is {self._limit_bytes}")
        if look.strangers:
            self._break(f"S8: {node} has {', '.join(look.strangers)} on its disk")
        for (where, key), files in self._kept.items():
            if where == node and look.copies[key] != files:
                self._break(f"S1, S6: {node} has changed {key}, which a pod reads")

    def _judge_status(self, node: str, before: JsonObject, look: Look, after: JsonObject) -> None:
        if before["metadata"]["resourceVersion"] != after["metadata"]["resourceVersion"]:
            # Which of the two was true when the disk was looked at, nobody knows.
            return
        for told in before.get("status", {}).get("models", ()):
            if told["state"] == "Downloaded" and look.copies.get(told["key"], frozenset()) is None:
                self._break(f"S3, S9: {node} says that it has {told['sourceModelUri']}, and has not")

    def _judge_generation(self, told: JsonObject) -> None:
        uid, observed = told["metadata"]["uid"], told.get("status", {}).get("observedGeneration", 0)
        if observed < self._generations.get(uid, 0):
            self._break(f"S9: {told['metadata']['name']} has observed {self._generations[uid]}, and now {observed}")
        self._generations[uid] = observed

    def _break(self, what: str) -> None:
        self._broken[what] = None
