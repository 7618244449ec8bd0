"""Taking over a folder that nobody wrote a manifest for: KServe's own copy, or a published one whose manifest was lost.

Names and sizes must be those of the source. A file must have the checksum that the store knows of its object. Where it
knows none, a small object is compared whole, by its MD5 where the etag is one; of a large one the first and the last
bytes are. A folder that differs is never believed, nor changed.
"""

from __future__ import annotations

import hashlib
import re

from cacheagent.checksums import check_object
from cacheagent.listing import Listing
from cacheagent.publishing import publish
from cachecore.errors import CorruptTransfer, LocalModelError, PathMissing
from cachecore.ports import Disk, ObjectInfo, ObjectStore, Runtime
from cachecore.store import layout, manifest
from cachecore.store.digest import PART_BYTES, part_digest
from cachecore.store.tree import list_tree
from cachecore.store.verify import checksum_parts

SAMPLE_BYTES = 2**16
WHOLE_BYTES_MAX = 4 * 2**20
_HF = "hf://"
# KServe downloads from Hugging Face by a library that keeps its own notes beside the files.
_HF_BOOKKEEPING = ".cache/huggingface"

_MD5 = re.compile(r"[0-9a-f]{32}")


class NotTheModel(LocalModelError):
    """The folder is not what the source holds; the message says where it differs."""

    reason = "CopyDiffersFromSource"


async def adopt(
    runtime: Runtime,
    disk: Disk,
    store: ObjectStore,
    listing: Listing,
    *,
    key: str,
    path: str,
    digest: str = "",
    part_bytes: int = PART_BYTES,
) -> manifest.Manifest:
    """Make the folder `path` the published copy. Raises `NotTheModel`, and the source's and the disk's errors."""
    await _compare_shape(disk, path, listing)
    for item in listing.objects:
        await _compare_bytes(disk, store, item, f"{path}/{item.path}")
    files = tuple(
        [
            manifest.make_file(
                item.path,
                item.size_bytes,
                item.etag,
                await checksum_parts(disk, f"{path}/{item.path}", item.size_bytes, part_bytes),
            )
            for item in listing.objects
        ]
    )
    whole = manifest.make_manifest(
        key=key,
        source_model_uri=listing.uri,
        part_bytes=part_bytes,
        files=files,
        now=runtime.now(),
        allow_patterns=listing.allow_patterns,
        ignore_patterns=listing.ignore_patterns,
    )
    if digest and whole.digest != digest:
        raise NotTheModel(f"{path} has the digest {whole.digest}, the cache expects {digest}")
    if listing.uri.startswith(_HF):
        await disk.remove_tree(f"{path}/{_HF_BOOKKEEPING}")
    await publish(disk, whole, source=path)
    return whole


async def _compare_shape(disk: Disk, path: str, listing: Listing) -> None:
    try:
        there = {file.path: file for file in await list_tree(disk, path)}
    except PathMissing as error:
        raise NotTheModel(f"{path} has gone") from error
    for item in listing.objects:
        file = there.pop(item.path, None)
        if file is None:
            raise NotTheModel(f"{path} lacks {item.path}")
        if file.is_symlink or file.size_bytes != item.size_bytes:
            raise NotTheModel(f"{path}/{item.path} has {file.size_bytes} bytes, the source {item.size_bytes}")
    if listing.uri.startswith(_HF):
        there = {name: file for name, file in there.items() if not name.startswith(f"{_HF_BOOKKEEPING}/")}
    if there:
        raise NotTheModel(f"{path} holds {min(there)}, which the source does not")


async def _compare_bytes(disk: Disk, store: ObjectStore, item: ObjectInfo, path: str) -> None:
    small = item.size_bytes <= WHOLE_BYTES_MAX
    expected = item.checksum
    if expected is None and not small:
        expected = await store.checksum(item)
    if expected is not None:
        try:
            await check_object(disk, item, path, expected, ())
        except CorruptTransfer as error:
            raise NotTheModel(f"{path} has not the {expected.algorithm} that the source tells of") from error
        return
    if small and _MD5.fullmatch(item.etag):
        content = await disk.read(path)
        # Only a match proves something: with encryption by a key service the etag looks like an MD5, and is none.
        if hashlib.md5(content, usedforsecurity=False).hexdigest() == item.etag:
            return
    length = item.size_bytes if small else SAMPLE_BYTES
    for offset in sorted({0, item.size_bytes - length}):
        if not length:
            continue
        sample = await store.read(item, offset, length)
        if await disk.checksum(path, offset, length) != part_digest(sample):
            raise NotTheModel(f"{path} differs from the source between the bytes {offset} and {offset + length}")


def adoptable_path(key: str, *, published: bool, legacy: bool) -> str:
    """Which folder to adopt for a key that has no whole copy; "" for none."""
    if published:
        return layout.published_path(key)
    return layout.legacy_path(key) if legacy else ""
