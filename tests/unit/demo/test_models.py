from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cachecore.errors import InvalidInput
from cachecore.names import storage_key
from cachesim.containers.reader import tree_digest
from cachesim.demo.manifests import Sizes
from cachesim.demo.models import describe_model, generate_model


def test_a_generated_model_has_the_size_that_was_asked_for(tmp_path: Path) -> None:
    generate_model(tmp_path, "llm", 3_000_001, shard_bytes=1_000_000)
    weights = sorted(tmp_path.glob("*.safetensors"))
    assert len(weights) == 4
    assert 2_999_990 <= sum(_tensor_bytes(path) for path in weights) <= 3_000_001


def test_weights_are_what_their_header_says(tmp_path: Path) -> None:
    generate_model(tmp_path, "llm", 2_000_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    for tensor, name in index["weight_map"].items():
        described = _header(tmp_path / name)[tensor]
        first, last = described["data_offsets"]
        assert described["dtype"] == "BF16"
        assert described["shape"] == [(last - first) // 2]


def test_one_name_and_size_is_one_model(tmp_path: Path) -> None:
    first = generate_model(tmp_path / "a", "llm", 1_000_000)
    second = generate_model(tmp_path / "b", "llm", 1_000_000)
    other = generate_model(tmp_path / "c", "other", 1_000_000)
    assert first.digest == second.digest != other.digest


def test_the_digest_is_the_one_that_the_serving_container_computes(tmp_path: Path) -> None:
    model = generate_model(tmp_path, "llm", 40_000_000)
    assert tree_digest(str(tmp_path)) == (model.digest, model.bytes_total, len(model.files))


def test_a_directory_of_the_users_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/weights").write_bytes(b"12")
    (tmp_path / "empty").touch()
    model = describe_model(tmp_path, "mine")
    assert (model.files, model.bytes_total) == (("sub/weights",), 2)
    assert model.key == storage_key("s3://models/mine")


@pytest.mark.parametrize("directory", ["missing", "."])
def test_what_is_no_model_is_said_in_one_line(tmp_path: Path, directory: str) -> None:
    with pytest.raises(InvalidInput, match="--model"):
        describe_model(tmp_path / directory, "mine")


@pytest.mark.parametrize("model_bytes", [1, 2**20, 24 * 2**20, 256 * 2**20, 70 * 2**30])
def test_the_sizes_make_the_story_come_out(model_bytes: int) -> None:
    sizes = Sizes(model_bytes=model_bytes)
    assert sizes.model_bytes + 2 * sizes.filler_bytes < 0.9 * sizes.limit_bytes
    assert sizes.limit_bytes < sizes.model_bytes + 3 * sizes.filler_bytes
    assert sizes.model_bytes + sizes.slow_bytes < sizes.limit_bytes
    assert sizes.disk_bytes > sizes.model_bytes + sizes.limit_bytes


def _header(path: Path) -> dict[str, dict[str, Any]]:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header: dict[str, dict[str, Any]] = json.loads(content[8 : 8 + length])
    assert len(content) == 8 + length + max(one["data_offsets"][1] for name, one in header.items() if name[0] != "_")
    return header


def _tensor_bytes(path: Path) -> int:
    return int(max(one["data_offsets"][1] for name, one in _header(path).items() if name[0] != "_"))
