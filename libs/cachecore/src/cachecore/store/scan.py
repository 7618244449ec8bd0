"""What a store holds, read from the disk alone: the facts that a start or a resync begins with."""

from __future__ import annotations

import msgspec

from cachecore.errors import PathMissing
from cachecore.ports import DirectoryEntry, Disk
from cachecore.store import layout, manifest
from cachecore.store.tree import list_tree
from cachecore.store.verify import shape_problems


class CopyOnDisk(msgspec.Struct, frozen=True, kw_only=True):
    """A published folder, a manifest, or both. It is whole when it has both and no `problems`."""

    key: str
    manifest: manifest.Manifest | None = None
    published: bool = False
    problems: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return self.published and self.manifest is not None and not self.problems


class StagedOnDisk(msgspec.Struct, frozen=True, kw_only=True):
    """A download that was begun; `allocated_bytes` is what its files take."""

    key: str
    allocated_bytes: int = 0


class StoreFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything is sorted; `legacy` are the keys of copies that KServe's agent left."""

    store_id: str = ""
    copies: tuple[CopyOnDisk, ...] = ()
    views: tuple[str, ...] = ()
    staged: tuple[StagedOnDisk, ...] = ()
    legacy: tuple[str, ...] = ()
    trash: tuple[str, ...] = ()


async def scan(disk: Disk) -> StoreFacts:
    """Look at every copy's shape; no content of models is read. Raises `DiskError`."""
    try:
        store_id = (await disk.read(layout.STORE_ID_PATH)).decode(errors="replace").strip()
    except PathMissing:
        store_id = ""
    views = await _keys(disk, "")
    manifests = await _keys(disk, layout.MANIFESTS_PATH, directories=False)
    copies = [await look_at(disk, key) for key in sorted({*views, *manifests})]
    return StoreFacts(
        store_id=store_id,
        copies=tuple(copy for copy in copies if copy.published or copy.manifest is not None or copy.problems),
        views=tuple(views),
        staged=tuple([await _staged(disk, key) for key in await _keys(disk, layout.STAGING_PATH)]),
        legacy=tuple(await _keys(disk, layout.LEGACY_PATH)),
        trash=tuple(entry.name for entry in await _entries(disk, layout.TRASH_PATH)),
    )


async def look_at(disk: Disk, key: str) -> CopyOnDisk:
    """One copy, as its manifest and its folder show it."""
    published = await disk.exists(layout.published_path(key))
    try:
        found = manifest.decode(await disk.read(layout.manifest_path(key)))
    except PathMissing:
        return CopyOnDisk(key=key, published=published)
    except manifest.UnreadableManifest as error:
        return CopyOnDisk(key=key, published=published, problems=(f"manifest: {error}",) if not published else ())
    if found.key != key:
        return CopyOnDisk(key=key, published=published)
    problems = await shape_problems(disk, layout.published_path(key), found) if published else ()
    return CopyOnDisk(key=key, manifest=found, published=published, problems=problems)


async def _staged(disk: Disk, key: str) -> StagedOnDisk:
    try:
        files = await list_tree(disk, layout.staging_files_path(key))
    except PathMissing:
        files = []
    return StagedOnDisk(key=key, allocated_bytes=sum(file.size_bytes for file in files))


async def _keys(disk: Disk, path: str, *, directories: bool = True) -> list[str]:
    """The storage keys among the names in a folder: nothing else there is ours."""
    return [
        entry.name
        for entry in await _entries(disk, path)
        if layout.is_key(entry.name) and entry.is_directory == directories and not entry.is_symlink
    ]


async def _entries(disk: Disk, path: str) -> list[DirectoryEntry]:
    try:
        return await disk.list_directory(path)
    except PathMissing:
        return []
