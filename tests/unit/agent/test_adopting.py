"""How a folder that nobody wrote a manifest for is compared with the source."""

from __future__ import annotations

import pytest

from cacheagent import adopting
from cacheagent.adopting import NotTheModel, adopt
from cacheagent.listing import select
from cachecore.errors import SourceUnavailable
from cachecore.ports import ChecksumAlgorithm
from cachecore.store import layout
from cachecore.store.manifest import Manifest
from cachecore.testing import FakeDisk, FakeObjectStore, VirtualRuntime

KEY = "0123456789abcdef"
URI = "s3://models/iris"
CONTENT = bytes(range(256)) * 4


class Found:
    """A folder of KServe's with one file, and the source. Anything above 100 bytes is large, samples have 10."""

    def __init__(self, content: bytes = CONTENT, *, uri: str = URI) -> None:
        self.uri = uri
        self.runtime = VirtualRuntime()
        self.disk = FakeDisk()
        self.disk.add_file(f"{layout.legacy_path(KEY)}/model.bin", content)
        self.source = FakeObjectStore({f"{uri}/model.bin": CONTENT})

    def adopt(self) -> Manifest:
        async def scenario() -> Manifest:
            listing = select(self.uri, await self.source.list(self.uri), allow_patterns=(), ignore_patterns=(), now=0.0)
            path = layout.legacy_path(KEY)
            return await adopt(self.runtime, self.disk, self.source, listing, key=KEY, path=path, part_bytes=256)

        return self.runtime.run(scenario())


@pytest.fixture(autouse=True)
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adopting, "WHOLE_BYTES_MAX", 100)
    monkeypatch.setattr(adopting, "SAMPLE_BYTES", 10)


def damaged_in_the_middle() -> bytes:
    return CONTENT[:500] + b"x" + CONTENT[501:]


@pytest.mark.parametrize("part_bytes", [0, 300])
def test_a_large_file_with_the_stores_checksum_is_adopted_without_reading_the_source(part_bytes: int) -> None:
    found = Found()
    found.source.algorithm, found.source.checksum_part_bytes = ChecksumAlgorithm.SHA256, part_bytes
    assert found.adopt().size_bytes == len(CONTENT)
    assert found.source.bytes_read == 0


def test_a_large_file_that_is_damaged_in_the_middle_has_another_checksum() -> None:
    found = Found(damaged_in_the_middle())
    found.source.algorithm = ChecksumAlgorithm.CRC32
    with pytest.raises(NotTheModel, match="has not the crc32 that the source tells of"):
        found.adopt()


def test_of_a_large_file_without_checksum_both_ends_are_compared() -> None:
    found = Found()
    found.adopt()
    assert found.source.bytes_read == 20


@pytest.mark.parametrize("at", [0, len(CONTENT) - 1])
def test_an_end_that_differs_is_found(at: int) -> None:
    found = Found(CONTENT[:at] + b"x" + CONTENT[at + 1 :])
    with pytest.raises(NotTheModel, match="differs from the source"):
        found.adopt()


def test_a_store_that_does_not_answer_proves_nothing() -> None:
    found = Found()
    found.source.faults.fail("checksum", SourceUnavailable("503"))
    with pytest.raises(SourceUnavailable):
        found.adopt()
    assert f"{layout.legacy_path(KEY)}/model.bin" in found.disk.files


@pytest.mark.parametrize(("uri", "is_adopted"), [("hf://models/iris", True), (URI, False)])
def test_the_notes_of_the_library_for_hugging_face_are_no_part_of_the_model(uri: str, is_adopted: bool) -> None:
    found = Found(uri=uri)
    notes = f"{layout.legacy_path(KEY)}/.cache/huggingface"
    found.disk.add_file(f"{notes}/download/model.bin.metadata", b"when it came, and from which commit")
    if not is_adopted:
        with pytest.raises(NotTheModel, match=r"holds \.cache/huggingface/download/model\.bin\.metadata"):
            found.adopt()
        return
    assert [file.path for file in found.adopt().files] == ["model.bin"]
    assert not found.runtime.run(found.disk.exists(f"{layout.published_path(KEY)}/.cache/huggingface"))
