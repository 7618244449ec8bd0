"""What stands for bytes in the flow fidelity."""

from __future__ import annotations

import functools

import blake3

from cachecore.ports import ObjectInfo


@functools.lru_cache(maxsize=100_000)
def part_token(source: ObjectInfo, offset_bytes: int, length_bytes: int) -> str:
    """What stands for the bytes of one part of one version of an object: the same bytes, the same token."""
    return blake3.blake3(f"{source.location} {source.etag} {offset_bytes} {length_bytes}".encode()).hexdigest()
