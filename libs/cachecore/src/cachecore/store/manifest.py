"""The manifest of a copy: what was fetched, and how to tell that it is whole."""

from __future__ import annotations

import msgspec

from cachecore.store.digest import PART_BYTES, DigestedFile, file_digest, tree_digest

VERSION = 1


class ManifestFile(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    size_bytes: int
    etag: str = ""
    digest: str
    parts: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Times are Unix seconds; `digest` is the tree digest of `files`; the patterns are those that chose them."""

    version: int = VERSION
    key: str
    source_model_uri: str
    digest: str
    part_bytes: int = PART_BYTES
    size_bytes: int
    files: tuple[ManifestFile, ...]
    published_time: float
    last_used_time: float
    allow_patterns: tuple[str, ...] = ()
    ignore_patterns: tuple[str, ...] = ()


class UnreadableManifest(ValueError):
    """The bytes are no manifest of a version that this code knows; `str` says why."""


def encode(manifest: Manifest) -> bytes:
    return msgspec.json.encode(manifest)


def decode(content: bytes) -> Manifest:
    """Raises `UnreadableManifest`, also for a manifest that contradicts itself."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableManifest(f"not a manifest: {error}") from error
    if manifest.version != VERSION:
        raise UnreadableManifest(f"manifest version {manifest.version} is not known")
    if manifest.digest != digest_of_files(manifest.files, manifest.part_bytes):
        raise UnreadableManifest("the digest is not the one of the files it lists")
    return manifest


def digest_of_files(files: tuple[ManifestFile, ...], part_bytes: int) -> str:
    return tree_digest((DigestedFile(file.path, file.size_bytes, file.digest) for file in files), part_bytes)


def make_file(path: str, size_bytes: int, etag: str, parts: tuple[str, ...]) -> ManifestFile:
    return ManifestFile(path=path, size_bytes=size_bytes, etag=etag, digest=file_digest(parts), parts=parts)


def make_manifest(
    *,
    key: str,
    source_model_uri: str,
    part_bytes: int,
    files: tuple[ManifestFile, ...],
    now: float,
    allow_patterns: tuple[str, ...] = (),
    ignore_patterns: tuple[str, ...] = (),
) -> Manifest:
    ordered = tuple(sorted(files, key=lambda file: file.path.encode()))
    return Manifest(
        key=key,
        source_model_uri=source_model_uri,
        digest=digest_of_files(ordered, part_bytes),
        part_bytes=part_bytes,
        size_bytes=sum(file.size_bytes for file in ordered),
        files=ordered,
        published_time=now,
        last_used_time=now,
        allow_patterns=allow_patterns,
        ignore_patterns=ignore_patterns,
    )
