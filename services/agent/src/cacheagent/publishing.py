"""Making a copy appear, and making it go: one rename each, so that no pod ever sees a part of a model."""

from __future__ import annotations

import contextlib

from cachecore.errors import PathMissing
from cachecore.ports import Disk
from cachecore.store import layout, manifest


async def make_view(disk: Disk, key: str) -> None:
    """The empty view: a pod that mounts it waits inside, and the kubelet never backs off on a missing path."""
    await disk.make_directory(layout.view_models_path(key))


async def remove_view(disk: Disk, key: str) -> None:
    """Only what is empty goes: a view with a copy in it stays."""
    try:
        if await disk.list_directory(layout.view_models_path(key)):
            return
    except PathMissing:
        pass
    await disk.remove_tree(layout.view_path(key))


async def publish(disk: Disk, whole: manifest.Manifest, *, source: str = "") -> None:
    """Show the files of the staging area (or of `source`) as the model.

    The manifest is durable before the folder has its name: a crash between leaves a manifest without a folder.
    """
    source = source or layout.staging_files_path(whole.key)
    await disk.sync_tree(source)
    await make_view(disk, whole.key)
    await write_manifest(disk, whole)
    if source != layout.published_path(whole.key):
        await disk.rename(source, layout.published_path(whole.key))
    await disk.remove_tree(layout.staging_path(whole.key))


async def write_manifest(disk: Disk, whole: manifest.Manifest) -> None:
    await disk.make_directory(layout.MANIFESTS_PATH)
    await disk.write(layout.manifest_path(whole.key), manifest.encode(whole))


async def retire(disk: Disk, key: str, trash_name: str) -> None:
    """Take a copy away in one rename; its bytes are unlinked later, off the main path. `forget` has to follow."""
    await disk.make_directory(layout.TRASH_PATH)
    with contextlib.suppress(PathMissing):
        await disk.rename(layout.published_path(key), layout.trash_path(trash_name))


async def forget(disk: Disk, key: str) -> None:
    """Remove the manifest of a copy that has gone.

    The folder goes before its manifest: after a crash between the two, a manifest without a folder is no copy.
    """
    await disk.remove_tree(layout.manifest_path(key))
