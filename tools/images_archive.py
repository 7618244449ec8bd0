"""Pack folders as the layers of an OCI image, in one archive that `ctr images import` takes.

The same content gives the same bytes: members are sorted, belong to root, and are as old as 1970.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"

_CHUNK_BYTES = 1 << 20


class ImageError(Exception):
    """An image can't be had; the message is one line for the person at the terminal."""


class Layer(NamedTuple):
    """A layer as it is kept: not compressed, so that its digest is that of its content, too."""

    path: Path
    digest: str
    size_bytes: int
    # What its files hold, which is what they need on a node's disk (less than a block more, each).
    unpacked_bytes: int


def digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def walk(root: Path) -> Iterator[Path]:
    """All below `root`, folders before what they hold, in an order that no file system chooses."""
    for path in sorted(root.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from walk(path)


def write_layer(root: Path, target: Path) -> Layer:
    """Everything below `root`, as one layer at `target`."""
    unpacked_bytes = 0
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in walk(root):
            member = tarfile.TarInfo(str(path.relative_to(root)))
            mode = path.lstat().st_mode
            # Not the mode as it is: that hangs on the umask of whoever builds. A folder for everyone stays one.
            member.mode = 0o1777 if mode & 0o1000 else 0o755 if path.is_dir() or mode & 0o100 else 0o644
            if path.is_symlink():
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, os.readlink(path), 0o777
                tar.addfile(member)
            elif path.is_dir():
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            else:
                member.size = path.stat().st_size
                unpacked_bytes += member.size
                with path.open("rb") as file:
                    tar.addfile(member, file)
    return Layer(target, digest_of(target), target.stat().st_size, unpacked_bytes)


def _document(content: Any) -> tuple[bytes, str]:
    """As JSON, with its digest."""
    text = json.dumps(content, sort_keys=True).encode()
    return text, f"sha256:{hashlib.sha256(text).hexdigest()}"


def write_archive(
    target: Path, name: str, layers: Sequence[Layer], config: Mapping[str, Any], architecture: str
) -> None:
    """An OCI image layout of one image, which containerd keeps under `name`."""
    image, image_digest = _document(
        {
            "architecture": architecture,
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        }
    )
    manifest, manifest_digest = _document(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": image_digest, "size": len(image)},
            "layers": [{"mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.size_bytes} for layer in layers],
        }
    )
    annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    entry = {"mediaType": MANIFEST_TYPE, "digest": manifest_digest, "size": len(manifest), "annotations": annotations}
    index, _ = _document({"schemaVersion": 2, "manifests": [entry]})
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(tar, "index.json", index)
        _add(tar, _blob(image_digest), image)
        _add(tar, _blob(manifest_digest), manifest)
        for layer in layers:
            member = tarfile.TarInfo(_blob(layer.digest))
            member.size = layer.size_bytes
            with layer.path.open("rb") as file:
                tar.addfile(member, file)


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
