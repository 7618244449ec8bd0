"""Checksums of wholes, out of those of their parts."""

from __future__ import annotations

import hashlib
import random
import zlib

import pytest

from cacheagent.checksums import algorithm_of_parts, check_object, checksum_of, combine, running
from cachecore.errors import CorruptTransfer
from cachecore.ports import Checksum, ChecksumAlgorithm, MovedPart, ObjectInfo, Part
from cachecore.testing import FakeDisk, VirtualRuntime

CONTENT = random.Random(3).randbytes(10_000)
CRCS = [ChecksumAlgorithm.CRC32, ChecksumAlgorithm.CRC32C, ChecksumAlgorithm.CRC64NVME]
# The check values of the catalogue of CRCs: of the digits from 1 to 9.
KNOWN = {
    ChecksumAlgorithm.CRC32: "cbf43926",
    ChecksumAlgorithm.CRC32C: "e3069283",
    ChecksumAlgorithm.CRC64NVME: "ae8b14860a799888",
}


@pytest.mark.parametrize("algorithm", CRCS)
def test_a_crc_has_the_value_of_its_catalogue(algorithm: ChecksumAlgorithm) -> None:
    assert checksum_of(algorithm, b"123456789") == KNOWN[algorithm]


@pytest.mark.parametrize("algorithm", CRCS)
def test_the_crc_of_nothing_is_all_zeros(algorithm: ChecksumAlgorithm) -> None:
    assert set(checksum_of(algorithm, b"")) == {"0"}


@pytest.mark.parametrize("algorithm", CRCS)
@pytest.mark.parametrize("size", [1, 7, 4096, 9_999, 10_000])
def test_crcs_of_parts_combine_to_that_of_the_whole(algorithm: ChecksumAlgorithm, size: int) -> None:
    pieces = [CONTENT[at : at + size] for at in range(0, 10_000, size)]
    parts = [(checksum_of(algorithm, piece), len(piece)) for piece in pieces]
    assert combine(algorithm, parts) == checksum_of(algorithm, CONTENT)


def test_a_crc_with_leading_zeros_keeps_them() -> None:
    content = next(bytes([n, m]) for n in range(256) for m in range(256) if zlib.crc32(bytes([n, m])) < 1 << 24)
    assert len(checksum_of(ChecksumAlgorithm.CRC32, content)) == 8


@pytest.mark.parametrize("algorithm", ChecksumAlgorithm)
def test_a_checksum_can_be_made_in_pieces(algorithm: ChecksumAlgorithm) -> None:
    made = running(algorithm)
    for at in range(0, 10_000, 777):
        made.update(memoryview(CONTENT)[at : at + 777])
    assert made.hexdigest() == checksum_of(algorithm, CONTENT)


def expected_of(algorithm: ChecksumAlgorithm, part_bytes: int = 0) -> Checksum:
    if not part_bytes:
        return Checksum(algorithm=algorithm, value=checksum_of(algorithm, CONTENT))
    pieces = [CONTENT[at : at + part_bytes] for at in range(0, 10_000, part_bytes)]
    raw = b"".join(bytes.fromhex(checksum_of(algorithm, piece)) for piece in pieces)
    return Checksum(algorithm=algorithm, value=checksum_of(algorithm, raw), part_bytes=part_bytes)


@pytest.mark.parametrize(
    "expected, parts, algorithm",
    [
        (None, 3, None),
        (expected_of(ChecksumAlgorithm.CRC32), 3, ChecksumAlgorithm.CRC32),
        (expected_of(ChecksumAlgorithm.SHA256), 3, None),
        (expected_of(ChecksumAlgorithm.SHA256), 1, ChecksumAlgorithm.SHA256),
        (expected_of(ChecksumAlgorithm.CRC32, 999), 3, None),
    ],
    ids=["none", "crc", "sha-of-several", "sha-of-one", "composite"],
)
def test_a_part_has_the_checksum_that_helps(
    expected: Checksum | None, parts: int, algorithm: ChecksumAlgorithm | None
) -> None:
    assert algorithm_of_parts(expected, parts=parts) == algorithm


def check(expected: Checksum, content: bytes, moved: list[tuple[Part, MovedPart]]) -> None:
    source = ObjectInfo(path="a", location="s3://models/a", size_bytes=10_000)
    disk = FakeDisk()
    disk.add_file("a", content)
    VirtualRuntime().run(check_object(disk, source, "a", expected, moved))


def test_parts_without_checksums_are_read_again() -> None:
    source = ObjectInfo(path="a", location="s3://models/a", size_bytes=10_000)
    part = Part(source=source, offset_bytes=0, length_bytes=10_000, path="a")
    check(expected_of(ChecksumAlgorithm.SHA256), CONTENT, [(part, MovedPart(digest="00"))])


@pytest.mark.parametrize("part_bytes", [0, 999, 5000, 10_000])
@pytest.mark.parametrize("algorithm", [ChecksumAlgorithm.MD5, ChecksumAlgorithm.SHA256, ChecksumAlgorithm.CRC32])
def test_a_file_is_held_against_a_whole_and_against_a_composite(algorithm: ChecksumAlgorithm, part_bytes: int) -> None:
    expected = expected_of(algorithm, part_bytes)
    check(expected, CONTENT, [])
    with pytest.raises(CorruptTransfer, match=f"the store says {expected.value}"):
        check(expected, b"!" + CONTENT[1:], [])


def test_the_composite_of_md5s_is_what_s3_calls_an_etag() -> None:
    halves = hashlib.md5(CONTENT[:5000]).digest() + hashlib.md5(CONTENT[5000:]).digest()  # noqa: S324
    assert expected_of(ChecksumAlgorithm.MD5, 5000).value == hashlib.md5(halves).hexdigest()  # noqa: S324
