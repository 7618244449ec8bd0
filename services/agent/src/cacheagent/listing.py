"""What a model's source holds: chosen by patterns, and checked before a byte is written. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

import msgspec

from cachecore.errors import SourceNotFound
from cachecore.ports import ObjectInfo
from cachecore.store import layout


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The objects of one model, sorted by path; `listed_seconds` is monotonic time."""

    uri: str
    objects: tuple[ObjectInfo, ...]
    allow_patterns: tuple[str, ...] = ()
    ignore_patterns: tuple[str, ...] = ()
    listed_seconds: float = 0.0

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.objects)


def select(
    uri: str,
    objects: Iterable[ObjectInfo],
    *,
    allow_patterns: tuple[str, ...] = (),
    ignore_patterns: tuple[str, ...] = (),
    now: float = 0.0,
) -> Listing:
    """What of a listing is the model. Raises `HostileName`, and `SourceNotFound` when nothing is left."""
    everything = sorted((item for item in objects if not _is_folder_marker(item)), key=lambda item: item.path)
    chosen = tuple(item for item in everything if _wanted(item.path, allow_patterns, ignore_patterns))
    layout.check_object_paths(item.path for item in chosen)
    if not everything:
        raise SourceNotFound(f"{uri} holds no object")
    if not chosen:
        raise SourceNotFound(f"none of the {len(everything)} objects below {uri} passes the model's patterns")
    return Listing(
        uri=uri,
        objects=chosen,
        allow_patterns=allow_patterns,
        ignore_patterns=ignore_patterns,
        listed_seconds=now,
    )


def _is_folder_marker(item: ObjectInfo) -> bool:
    return item.size_bytes == 0 and (item.path == "" or item.path.endswith("/"))


def _wanted(path: str, allow_patterns: tuple[str, ...], ignore_patterns: tuple[str, ...]) -> bool:
    """As Hugging Face's and KServe's patterns do: on the whole relative path, `*` passes over slashes."""
    allowed = not allow_patterns or any(fnmatch.fnmatchcase(path, pattern) for pattern in allow_patterns)
    return allowed and not any(fnmatch.fnmatchcase(path, pattern) for pattern in ignore_patterns)
