"""What the agent holds on its disk, and the few changes it makes there. What it believes comes from looking."""

from __future__ import annotations

import contextlib
import logging

import msgspec

from cacheagent import publishing
from cacheagent.identity import Found, Known, why_not_ours
from cachecore.errors import DiskError, DiskVanished, PathMissing
from cachecore.ports import Disk, DiskUsage, Runtime
from cachecore.store import layout, manifest
from cachecore.store.scan import CopyOnDisk, StoreFacts, look_at, scan
from cachecore.store.tree import list_tree

logger = logging.getLogger(__name__)


class Store:
    """The node's store. What it believes is what the last look and the changes since have shown."""

    def __init__(self, runtime: Runtime, disk: Disk) -> None:
        self._runtime = runtime
        self.disk = disk
        self.store_id = ""
        # Where the store was when it was last believed.
        self._file_system = ""
        self._waiting_since_seconds: float | None = None
        self.held: dict[str, manifest.Manifest] = {}
        self.damaged: dict[str, str] = {}
        # Published folders without a manifest, and copies that KServe's agent left.
        self.unproven: dict[str, str] = {}
        self.legacy: dict[str, str] = {}
        # Bytes that the files of staging areas take, and of what waits in the trash, oldest first.
        self.staged: dict[str, int] = {}
        self.trash: dict[str, int] = {}
        self.views: dict[str, None] = {}
        self.trash_changed = runtime.signal()

    @property
    def held_bytes(self) -> int:
        return sum(copy.size_bytes for copy in self.held.values())

    @property
    def keys(self) -> list[str]:
        """Every key of which something is here."""
        return sorted({*self.held, *self.damaged, *self.unproven, *self.staged, *self.views})

    async def usage(self) -> DiskUsage:
        return await self.disk.usage()

    def is_elsewhere(self, usage: DiskUsage) -> bool:
        """Whether another file system is mounted than the store was on: then it is looked at anew."""
        return usage.file_system != self._file_system

    async def rescan(self, *, busy: frozenset[str] = frozenset(), told_id: str = "", wait_seconds: float = 0.0) -> bool:
        """Look at the whole store; answer whether it is another one than before.

        Of the keys in `busy` something runs that changes the disk meanwhile: they stay as they are believed. `told_id`
        is the store that the node is said to have, which is waited for at the first look. Raises `DiskVanished` when
        what is there is not the node's disk: then everything stays as it was believed, and nothing has been made.
        """
        before = await self.usage()
        facts = await scan(self.disk)
        usage = await self.usage()
        known_id = self.store_id or told_id
        self._recognize(
            Found(store_id=facts.store_id, file_system_before=before.file_system, file_system=usage.file_system),
            known_id,
            wait_seconds,
        )
        replaced = bool(known_id) and facts.store_id != known_id
        self._take_copies(facts, busy)
        self._take_rest(facts, busy)
        self.store_id = facts.store_id or await self._make_store_id()
        for copy in facts.copies:
            if copy.manifest is not None and not copy.published and copy.key not in busy:
                await self._settle_unpublished(copy.key)
        await self._weigh_trash(facts)
        return replaced

    def _recognize(self, found: Found, known_id: str, wait_seconds: float) -> None:
        now = self._runtime.monotonic()
        if self._waiting_since_seconds is None:
            self._waiting_since_seconds = now
        known = Known(
            store_id=known_id, file_system=self._file_system, waited_seconds=now - self._waiting_since_seconds
        )
        problem = why_not_ours(found, known, wait_seconds=wait_seconds)
        if problem:
            raise DiskVanished(problem)
        self._file_system = found.file_system

    async def _make_store_id(self) -> str:
        store_id = f"{self._runtime.random.getrandbits(128):032x}"
        await self.disk.make_directory(layout.PRIVATE_DIRECTORY)
        await self.disk.write(layout.STORE_ID_PATH, f"{store_id}\n".encode())
        return store_id

    def _take_copies(self, facts: StoreFacts, busy: frozenset[str]) -> None:
        kept = {key: copy for key, copy in self.held.items() if key in busy}
        self.held, self.damaged, self.unproven = kept, {}, {}
        for copy in facts.copies:
            if copy.key not in busy:
                self._take_copy(copy)

    def _take_copy(self, copy: CopyOnDisk) -> None:
        if copy.whole and copy.manifest is not None:
            self.held[copy.key] = copy.manifest
        elif copy.published and copy.manifest is not None:
            more = f" and {len(copy.problems) - 1} more" if len(copy.problems) > 1 else ""
            self.damaged[copy.key] = f"{copy.problems[0]}{more}"
        elif copy.published:
            self.unproven[copy.key] = layout.published_path(copy.key)

    def _take_rest(self, facts: StoreFacts, busy: frozenset[str]) -> None:
        self.staged = {
            **{key: count for key, count in self.staged.items() if key in busy},
            **{staged.key: staged.allocated_bytes for staged in facts.staged if staged.key not in busy},
        }
        self.views = dict.fromkeys(facts.views)
        self.legacy = {key: layout.legacy_path(key) for key in facts.legacy}

    async def _settle_unpublished(self, key: str) -> None:
        """A manifest without a folder: a kill between the two. With its staging area it is published by resuming."""
        if key not in self.staged:
            await self.disk.remove_tree(layout.manifest_path(key))

    async def _weigh_trash(self, facts: StoreFacts) -> None:
        there = frozenset(facts.trash)
        self.trash = {name: size_bytes for name, size_bytes in self.trash.items() if name in there}
        for name in facts.trash:
            if name not in self.trash:
                self.trash[name] = await self._weight(layout.trash_path(name))
        if self.trash:
            self.trash_changed.set()

    async def _weight(self, path: str) -> int:
        try:
            return sum(file.size_bytes for file in await list_tree(self.disk, path))
        except PathMissing:
            return 0

    async def make_view(self, key: str) -> None:
        await publishing.make_view(self.disk, key)
        self.views[key] = None

    async def remove_view(self, key: str) -> None:
        await publishing.remove_view(self.disk, key)
        self.views.pop(key, None)

    async def retire(self, key: str) -> None:
        """Move the published folder into the trash."""
        name = f"{key}-{self._runtime.random.getrandbits(32):08x}"
        size_bytes = self.held[key].size_bytes if key in self.held else await self._weight(layout.published_path(key))
        try:
            await publishing.retire(self.disk, key, name)
        except DiskError:
            # The rename may have been carried out all the same: what is not in its place is not held.
            with contextlib.suppress(DiskError):
                if not await self.disk.exists(layout.published_path(key)):
                    self._let_go(key)
            raise
        # At once: if the rest fails, the copy is no longer here all the same.
        self._let_go(key)
        self.trash[name] = size_bytes
        self.trash_changed.set()
        await publishing.forget(self.disk, key)

    def _let_go(self, key: str) -> None:
        for known in (self.held, self.damaged, self.unproven):
            known.pop(key, None)

    async def look_again(self, key: str) -> None:
        """A transfer has failed: what it has given back is room for others at once, what it has published is here."""
        with contextlib.suppress(DiskError):
            copy = await look_at(self.disk, key)
            if copy.whole:
                self._take_copy(copy)
            if not await self.disk.exists(layout.staging_path(key)):
                self.staged.pop(key, None)

    async def drop_staging(self, key: str) -> None:
        """Give up what was downloaded so far, and look at what is left of the key."""
        await self.disk.remove_tree(layout.staging_path(key))
        self.staged.pop(key, None)
        copy = await look_at(self.disk, key)
        if copy.manifest is not None and not copy.published:
            await self.disk.remove_tree(layout.manifest_path(key))
        elif copy.published:
            self.held.pop(key, None)
            self._take_copy(copy)

    def published(self, whole: manifest.Manifest) -> None:
        """A transfer or an adoption has succeeded."""
        self.held[whole.key] = whole
        for known in (self.damaged, self.unproven, self.legacy):
            known.pop(whole.key, None)
        self.staged.pop(whole.key, None)
        self.views[whole.key] = None

    async def note_use(self, key: str, when: float) -> None:
        """Write the last use into the manifest."""
        whole = self.held.get(key)
        if whole is not None and when > whole.last_used_time:
            self.held[key] = msgspec.structs.replace(whole, last_used_time=when)
            await publishing.write_manifest(self.disk, self.held[key])

    def gave_back(self, name: str, size_bytes: int) -> None:
        """So much of something in the trash is room again."""
        if name in self.trash:
            self.trash[name] = max(self.trash[name] - size_bytes, 0)
