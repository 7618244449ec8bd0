"""What web servers tell of a file's bytes.

`Repr-Digest` (RFC 9530) and `Digest` (RFC 3230) are of the whole file, also when a range is answered; `Content-MD5` is
of what is sent. Artifact repositories have `X-Checksum-Sha256`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cacheagent.checksums import from_base64
from cachecore.ports import Checksum, ChecksumAlgorithm

# Strongest first.
_NAMES = {
    "sha-256": (ChecksumAlgorithm.SHA256, 32),
    "sha": (ChecksumAlgorithm.SHA1, 20),
    "md5": (ChecksumAlgorithm.MD5, 16),
}
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def told_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """The checksum in the headers (lower case) of an answer with the whole file."""
    md5 = headers.get("content-md5", "").strip()
    return file_checksum(headers) or (_decoded("md5", md5) if md5 else None)


def file_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """What holds for the whole file, whatever part of it has been asked for."""
    hexadecimal = headers.get("x-checksum-sha256", "").strip()
    if _SHA256.fullmatch(hexadecimal):
        return Checksum(algorithm=ChecksumAlgorithm.SHA256, value=hexadecimal.lower())
    digests: dict[str, str] = {}
    for header in ("repr-digest", "digest"):
        for entry in headers.get(header, "").split(","):
            name, _, value = entry.strip().partition("=")
            digests.setdefault(name.lower(), value)
    found = (_decoded(name, digests[name]) for name in _NAMES if name in digests)
    return next((checksum for checksum in found if checksum is not None), None)


def _decoded(name: str, value: str) -> Checksum | None:
    algorithm, length_bytes = _NAMES[name]
    # RFC 9530 writes bytes between colons.
    found = from_base64(algorithm, value.strip().strip(":"))
    return found if found is not None and len(found.value) == 2 * length_bytes else None
