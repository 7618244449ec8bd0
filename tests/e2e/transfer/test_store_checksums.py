"""What S3 tells of an object's bytes, in each of its forms: one bit that is another is found, and fetched again."""

from __future__ import annotations

import hashlib
import random
from base64 import b64encode

import pytest

from cacheagent.checksums import checksum_of
from cacheagent.transfer import DigestMismatch
from cachecore.errors import CorruptTransfer
from cachecore.ports import ChecksumAlgorithm
from cachecore.store.digest import digest_of_contents
from cachesim.localcluster.testing_s3 import S3Fault
from cachesim.localcluster.testing_transfer import BUCKET, PART_BYTES, TransferBench

RANDOM = random.Random(7)
SIZES = {"small": 3000, "one-part": 50_500, "parts": 3 * PART_BYTES + 77}
WHOLE = ("crc64nvme", "crc32c", "crc32", "sha256", "sha1")
KINDS = [*WHOLE, *(f"{name}-composite" for name in WHOLE[1:]), "etag", "etag-composite", "etag-of-one-part"]


def put(bench: TransferBench, model: str, content: bytes, kind: str, sizes: tuple[int, ...] | None = None) -> None:
    """`model/file`, of which S3 tells this and nothing else; `sizes` are those of the upload's parts."""
    name, _, form = kind.partition("-")
    uploaded = sizes or (
        (len(content),) if form == "of-one-part" else (2000,) * (len(content) // 2000) + (len(content) % 2000,)
    )
    if not form:
        uploaded = (len(content),)
    pieces = []
    for size in uploaded:
        pieces.append(content[:size])
        content = content[size:]
    content = b"".join(pieces)
    algorithm = ChecksumAlgorithm.MD5 if name == "etag" else ChecksumAlgorithm(name)
    values = [bytes.fromhex(checksum_of(algorithm, piece)) for piece in pieces]
    raw = bytes.fromhex(checksum_of(algorithm, b"".join(values))) if form else values[0]
    count = f"-{len(pieces)}" if form else ""
    headers = {}
    etag = raw.hex() + count
    if name != "etag":
        # An object that is encrypted with a key of KMS has an etag that says nothing.
        etag = hashlib.md5(b"no MD5 of the content", usedforsecurity=False).hexdigest() + count
        headers = {
            "x-amz-server-side-encryption": "aws:kms",
            f"x-amz-checksum-{name}": b64encode(raw).decode() + count,
            "x-amz-checksum-type": "COMPOSITE" if form else "FULL_OBJECT",
        }
    bench.s3.put(f"{BUCKET}/{model}/file", content, etag=etag, headers=headers, upload_parts=uploaded if form else ())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_bit_that_is_another_is_found(bench: TransferBench, model: str, kind: str, size: str) -> None:
    content = RANDOM.randbytes(SIZES[size])
    put(bench, model, content, kind)
    bench.s3.fail(S3Fault.CORRUPT, f"{BUCKET}/{model}/file")
    bench.download(model)
    assert bench.published(model) == {"file": content}
    assert bench.s3.asked[f"{BUCKET}/{model}/file", 0] == 2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["crc64nvme", "crc32c-composite", "etag", "etag-composite"])
def test_bytes_that_stay_wrong_are_not_published(bench: TransferBench, model: str, kind: str, size: str) -> None:
    put(bench, model, RANDOM.randbytes(SIZES[size]), kind)
    bench.s3.fail(S3Fault.CORRUPT, f"{BUCKET}/{model}/file", times=None)
    with pytest.raises(CorruptTransfer, match="the store says"):
        bench.download(model)
    assert bench.published(model) == {}


@pytest.mark.parametrize("sizes", [(70_000, 60_000, 70_000), (70_000, 70_001, 59_999), (90_000, 20_000, 90_000)])
def test_an_upload_in_uneven_parts_proves_nothing_and_is_no_error(
    bench: TransferBench, model: str, sizes: tuple[int, ...]
) -> None:
    content = RANDOM.randbytes(sum(sizes))
    put(bench, model, content, "etag-composite", sizes)
    bench.download(model)
    assert bench.published(model) == {"file": content}


def without_checksum(bench: TransferBench, model: str, content: bytes) -> None:
    headers = {"x-amz-server-side-encryption": "aws:kms"}
    etag = hashlib.md5(b"no MD5 of the content", usedforsecurity=False).hexdigest()
    bench.s3.put(f"{BUCKET}/{model}/file", content, etag=etag, headers=headers)
    bench.s3.fail(S3Fault.CORRUPT, f"{BUCKET}/{model}/file")


@pytest.mark.parametrize("size", SIZES)
def test_what_the_store_knows_nothing_of_is_believed(bench: TransferBench, model: str, size: str) -> None:
    # No client could find this one: there is nothing to compare with. TCP's and TLS' own checksums are what is left.
    content = RANDOM.randbytes(SIZES[size])
    without_checksum(bench, model, content)
    found = bench.download(model)
    assert bench.published(model) != {"file": content}
    assert found.digest != digest_of_contents({"file": content}, PART_BYTES)


@pytest.mark.parametrize("size", SIZES)
def test_the_digest_that_a_cache_expects_finds_it_all_the_same(bench: TransferBench, model: str, size: str) -> None:
    content = RANDOM.randbytes(SIZES[size])
    without_checksum(bench, model, content)
    expected = digest_of_contents({"file": content}, PART_BYTES)
    with pytest.raises(DigestMismatch):
        bench.download(model, digest=expected)
    assert bench.published(model) == {}
    assert bench.download(model, digest=expected).digest == expected
