"""What S3 tells of an object's bytes: its additional checksums, and the ETag where it is an MD5.

Formats: "Checking object integrity" in the user guide of Amazon S3, and `ETag` of its API reference. A value ending in
`-N` is a composite over the N parts of the upload. The ETag is an MD5 only of objects that are not encrypted with keys
of KMS (SSE-KMS) or of the customer (SSE-C).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cacheagent.checksums import from_base64
from cachecore.ports import Checksum, ChecksumAlgorithm

# Strongest first among those that cost next to nothing; the SHAs only where nothing else is there.
ALGORITHMS = (
    ChecksumAlgorithm.CRC64NVME,
    ChecksumAlgorithm.CRC32C,
    ChecksumAlgorithm.CRC32,
    ChecksumAlgorithm.SHA256,
    ChecksumAlgorithm.SHA1,
)
PREFIX = "x-amz-checksum-"

_ETAG = re.compile(r"([0-9a-f]{32})(?:-([0-9]+))?")
_MD5_ENCRYPTION = ("", "AES256")


def told_checksum(headers: Mapping[str, str], part_bytes: int = 0) -> Checksum | None:
    """The checksum in the headers (lower case) of a HEAD or of a GET of the whole object.

    `part_bytes` is the size of the upload's parts, without which a composite one says nothing (of a single part it is
    the object's own).
    """
    if not part_bytes and parts_of_upload(headers) == 1:
        part_bytes = _number(headers.get("content-length", ""))
    etag = _ETAG.fullmatch(headers.get("etag", "").strip('"').lower())
    kind = headers.get("x-amz-checksum-type", "").upper()
    for algorithm in ALGORITHMS:
        value, _, parts = headers.get(PREFIX + algorithm, "").partition("-")
        composite = bool(parts) or kind == "COMPOSITE"
        if not composite and not kind and etag and etag[2] and algorithm is not ChecksumAlgorithm.CRC64NVME:
            # Of an upload in parts, by a server that doesn't say which kind: moto's is neither.
            continue
        if value and (part_bytes or not composite):
            return from_base64(algorithm, value, part_bytes if composite else 0)
    encryption = headers.get("x-amz-server-side-encryption", "")
    customer = headers.get("x-amz-server-side-encryption-customer-algorithm", "")
    if etag is None or encryption not in _MD5_ENCRYPTION or customer:
        return None
    if etag[2] and not part_bytes:
        return None
    return Checksum(algorithm=ChecksumAlgorithm.MD5, value=etag[1], part_bytes=part_bytes if etag[2] else 0)


def parts_of_upload(headers: Mapping[str, str]) -> int:
    """How many parts a composite is made of; 0 when nothing says so."""
    values = [headers.get(PREFIX + algorithm, "") for algorithm in ALGORITHMS]
    counts = [
        _number(value.strip('"').rpartition("-")[2]) for value in (*values, headers.get("etag", "")) if "-" in value
    ]
    return next((count for count in counts if count), 0)


def is_composite(headers: Mapping[str, str]) -> bool:
    """Whether all that the headers tell is a composite, so that the size of the parts is worth a question."""
    return told_checksum(headers) is None and told_checksum(headers, 1) is not None


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
