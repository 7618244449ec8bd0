"""What the headers of an S3 answer tell of an object's bytes."""

from __future__ import annotations

import pytest

from cacheagent.adapters.s3_checksums import is_composite, parts_of_upload, told_checksum
from cachecore.ports import Checksum, ChecksumAlgorithm

MD5 = "0123456789abcdef0123456789abcdef"
CRC = {"x-amz-checksum-crc32c": "AAECAw=="}
NVME = {"x-amz-checksum-crc64nvme": "AAECAwQFBgc="}


def told(headers: dict[str, str], part_bytes: int = 0) -> tuple[str, str, int] | None:
    found: Checksum | None = told_checksum(headers, part_bytes)
    return None if found is None else (found.algorithm.value, found.value, found.part_bytes)


@pytest.mark.parametrize(
    "headers, expected",
    [
        ({"etag": f'"{MD5}"'}, ("md5", MD5, 0)),
        ({"etag": MD5.upper()}, ("md5", MD5, 0)),
        ({"etag": f'"{MD5}"', "x-amz-server-side-encryption": "AES256"}, ("md5", MD5, 0)),
        ({"etag": f'"{MD5}"', **CRC}, ("crc32c", "00010203", 0)),
        ({**CRC, **NVME}, ("crc64nvme", "0001020304050607", 0)),
        ({"etag": f'"{MD5}-9"', **NVME}, ("crc64nvme", "0001020304050607", 0)),
        ({"etag": f'"{MD5}-9"', **CRC, "x-amz-checksum-type": "FULL_OBJECT"}, ("crc32c", "00010203", 0)),
    ],
)
def test_the_best_that_is_told_of_the_whole_counts(headers: dict[str, str], expected: tuple[str, str, int]) -> None:
    assert told(headers) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"etag": '"anything"'},
        {"etag": f'W/"{MD5}"'},
        {"etag": f'"{MD5}"', "x-amz-server-side-encryption": "aws:kms"},
        {"etag": f'"{MD5}"', "x-amz-server-side-encryption": "aws:kms:dsse"},
        {"etag": f'"{MD5}"', "x-amz-server-side-encryption-customer-algorithm": "AES256"},
        {"x-amz-checksum-crc32c": "not base64!"},
    ],
)
def test_what_proves_nothing_is_no_checksum(headers: dict[str, str]) -> None:
    assert told(headers) is None
    assert not is_composite(headers)


@pytest.mark.parametrize(
    "headers, expected",
    [
        ({"etag": f'"{MD5}-3"'}, ("md5", MD5, 500)),
        ({"x-amz-checksum-crc32c": "AAECAw==-3"}, ("crc32c", "00010203", 500)),
        ({"etag": f'"{MD5}-3"', **CRC, "x-amz-checksum-type": "COMPOSITE"}, ("crc32c", "00010203", 500)),
    ],
)
def test_a_composite_says_nothing_without_the_size_of_its_parts(
    headers: dict[str, str], expected: tuple[str, str, int]
) -> None:
    assert told(headers) is None
    assert is_composite(headers)
    assert parts_of_upload(headers) == 3
    assert told(headers, 500) == expected


def test_a_composite_of_one_part_is_of_the_whole() -> None:
    assert told({"etag": f'"{MD5}-1"', "content-length": "77"}) == ("md5", MD5, 77)


@pytest.mark.parametrize("etag", ["", "anything", "any-thing", MD5, f"{MD5}-x"])
def test_what_counts_no_parts_has_none(etag: str) -> None:
    assert parts_of_upload({"etag": etag}) == 0


def test_the_algorithms_are_those_that_a_checksum_can_be_made_with() -> None:
    assert told({"x-amz-checksum-sha256": "AAEC"}) == (ChecksumAlgorithm.SHA256, "000102", 0)
