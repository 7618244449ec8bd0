"""Files of a mounted directory, through the agent's own adapters."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from cachecore.errors import SourceChanged, SourceUnavailable
from cachecore.ports import ObjectInfo, ObjectStore, Part
from cachesim.localcluster.testing_sources import SourceNode

WEIGHTS = random.Random(3).randbytes(200_000)
FILES = {"weights.bin": WEIGHTS, "sub/ünï +%20.json": b"{}", "empty": b"", **{f"{n}.txt": b"%d" % n for n in range(70)}}


@pytest.fixture
def model(tmp_path: Path, node: SourceNode) -> Path:
    folder = tmp_path / "sources" / "my model"
    for path, content in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    node.file_sources = str(folder.parent)
    return folder


def test_a_folder_is_copied_in_parts(node: SourceNode, model: Path) -> None:
    node.fetch(model.as_uri(), connections=4)
    assert node.published(model.as_uri()) == FILES


def test_a_file_that_changes_starts_over(node: SourceNode, model: Path) -> None:
    def change() -> None:
        (model / "weights.bin").write_bytes(WEIGHTS[::-1])

    node.fetch(model.as_uri(), after_listing=change)
    assert node.published(model.as_uri()) == {**FILES, "weights.bin": WEIGHTS[::-1]}


def test_a_file_that_changes_while_it_is_read_is_not_whole(node: SourceNode, model: Path) -> None:
    async def scenario(store: ObjectStore) -> None:
        weights = next(item for item in await store.list(model.as_uri()) if item.path == "weights.bin")
        with store.open_part(part_of(weights)) as stream:  # type: ignore[attr-defined]
            stream.read_into(memoryview(bytearray(100)))
            os.utime(model / "weights.bin")
            while stream.read_into(memoryview(bytearray(100_000))):
                pass

    with pytest.raises(SourceChanged, match="while it was read"):
        node.ask(model.as_uri(), scenario)


def test_a_file_that_shrinks_while_it_is_read_ends_too_early(node: SourceNode, model: Path) -> None:
    async def scenario(store: ObjectStore) -> None:
        weights = next(item for item in await store.list(model.as_uri()) if item.path == "weights.bin")
        with store.open_part(part_of(weights)) as stream:  # type: ignore[attr-defined]
            os.truncate(model / "weights.bin", 1000)
            stream.read_into(memoryview(bytearray(200_000)))

    with pytest.raises(SourceUnavailable, match="ended 199000 bytes too early"):
        node.ask(model.as_uri(), scenario)


def part_of(source: ObjectInfo) -> Part:
    return Part(source=source, offset_bytes=0, length_bytes=source.size_bytes, path="")
