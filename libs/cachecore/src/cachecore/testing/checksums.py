"""The checksums that the standard library has, for the fakes."""

from __future__ import annotations

import hashlib
import zlib

from blake3 import blake3

from cachecore.ports import ChecksumAlgorithm


def checksum(algorithm: ChecksumAlgorithm, content: bytes) -> str:
    """In hex. Raises `ValueError` for the two CRCs that only libraries have."""
    match algorithm:
        case ChecksumAlgorithm.BLAKE3:
            return blake3(content).hexdigest()
        case ChecksumAlgorithm.CRC32:
            return f"{zlib.crc32(content):08x}"
        case ChecksumAlgorithm.MD5 | ChecksumAlgorithm.SHA1 | ChecksumAlgorithm.SHA256:
            return hashlib.new(algorithm.value, content, usedforsecurity=False).hexdigest()
    raise ValueError(f"the fakes don't make {algorithm}")
