"""`localmodel verify`: what is wrong with a copy is found and named; a plain folder gets its digest."""

from __future__ import annotations

import asyncio
import pathlib
from typing import Any

import msgspec
import pytest

from cacheagent.adapters.posix_disk import PosixDisk
from cachecore.store import layout, manifest
from cachecore.store.digest import PART_BYTES, digest_of_contents
from cachecore.store.verify import checksum_parts
from cachesim.cli import main

KEY = "0123456789abcdef"
OTHER_KEY = "fedcba9876543210"
CONTENTS = {"config.json": b'{"layers": 2}', "weights/model.safetensors": bytes(range(256)) * 16}
PART = 1024


def publish(root: pathlib.Path, key: str) -> pathlib.Path:
    """A copy with its manifest, as the agent leaves it; its parts are small."""
    folder = root / layout.published_path(key)
    for name, content in CONTENTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    disk = PosixDisk(str(folder))
    files = tuple(
        manifest.make_file(name, len(content), "", asyncio.run(checksum_parts(disk, name, len(content), PART)))
        for name, content in CONTENTS.items()
    )
    disk.close()
    made = manifest.make_manifest(key=key, source_model_uri="s3://models/tiny", part_bytes=PART, files=files, now=0.0)
    (root / layout.MANIFESTS_PATH).mkdir(parents=True, exist_ok=True)
    (root / layout.manifest_path(key)).write_bytes(manifest.encode(made))
    return folder


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "store"


@pytest.fixture
def copy(root: pathlib.Path) -> pathlib.Path:
    return publish(root, KEY)


def problems(path: pathlib.Path, tmp_path: pathlib.Path) -> list[dict[str, Any]]:
    """What `--json` tells is wrong with the first copy."""
    file = tmp_path / "outcome.json"
    assert main(["verify", str(path), "--json", str(file)]) == 1
    outcome = msgspec.json.decode(file.read_bytes())
    assert (outcome["schema"], outcome["ok"]) == ("localmodel.verify/v1", False)
    found: list[dict[str, Any]] = outcome["copies"][0]["problems"]
    return found


@pytest.mark.parametrize("below", ["", KEY, f"{KEY}/models", f"{KEY}/models/{KEY}"])
def test_a_whole_copy_is_ok_by_each_of_its_paths(
    root: pathlib.Path, copy: pathlib.Path, below: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(root / below)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{KEY}  ok  {digest_of_contents(CONTENTS, PART)}",
        "  s3://models/tiny, 2 files, 4.0 KiB",
        "1 copy, all ok",
    ]


def test_a_flipped_bit_is_found_with_its_part(copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    weights = copy / "weights/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[2 * PART + 5] ^= 1
    weights.write_bytes(content)
    (problem,) = problems(copy, tmp_path)
    assert (problem["path"], problem["damage"]) == ("weights/model.safetensors", "corrupt")
    assert (problem["offset_bytes"], problem["length_bytes"]) == (2 * PART, PART)


def test_a_flipped_bit_shows_both_digests(copy: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "config.json").write_bytes(b'{"layers": 3}')
    changed = digest_of_contents({**CONTENTS, "config.json": b'{"layers": 3}'}, PART)
    assert main(["verify", str(copy)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{KEY}  WRONG  {changed}",
        "  s3://models/tiny, 2 files, 4.0 KiB",
        "  config.json: other bytes than were downloaded, in the 13 bytes from offset 0",
        f"  downloaded as {digest_of_contents(CONTENTS, PART)}",
        "1 copy, 1 WRONG",
    ]


def test_a_truncated_file_is_told_with_both_sizes(copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (copy / "config.json").write_bytes(b"{")
    (problem,) = problems(copy, tmp_path)
    assert (problem["damage"], problem["message"]) == ("wrong-size", "1 bytes instead of 13")


def test_a_missing_file_is_named(copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (copy / "config.json").unlink()
    (problem,) = problems(copy, tmp_path)
    assert (problem["path"], problem["damage"]) == ("config.json", "missing")


def test_an_extra_file_is_named_with_its_oddities_escaped(copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (copy / "a\nb\x1b: c").write_bytes(b"")
    (problem,) = problems(copy, tmp_path)
    assert (problem["path"], problem["damage"]) == ("a\\nb\\x1b: c", "extra")


def test_a_symlink_in_place_of_a_file_is_no_file(copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (copy / "config.json").rename(tmp_path / "config.json")
    (copy / "config.json").symlink_to(tmp_path / "config.json")
    (problem,) = problems(copy, tmp_path)
    assert problem["damage"] == "symlink"


def test_a_copy_without_its_manifest_is_wrong(root: pathlib.Path, copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (root / layout.manifest_path(KEY)).unlink()
    (problem,) = problems(copy, tmp_path)
    assert (problem["path"], problem["damage"]) == (layout.manifest_path(KEY), "no-manifest")


def test_a_manifest_of_another_copy_is_wrong(root: pathlib.Path, copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    publish(root, OTHER_KEY)
    (root / layout.manifest_path(OTHER_KEY)).rename(root / layout.manifest_path(KEY))
    (problem,) = problems(copy, tmp_path)
    assert (problem["damage"], problem["message"]) == ("bad-manifest", f"is the manifest of {OTHER_KEY}")


def test_a_store_with_one_bad_copy_tells_which(
    root: pathlib.Path, copy: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (publish(root, OTHER_KEY) / "config.json").unlink()
    assert main(["verify", str(root)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"{KEY}  ok  blake3:")
    assert told[2] == f"{OTHER_KEY}  WRONG  no digest"
    assert told[-1] == "2 copies, 1 WRONG"


def test_what_is_no_copy_is_noted_and_not_wrong(
    root: pathlib.Path, copy: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / layout.legacy_path(OTHER_KEY)).mkdir(parents=True)
    (root / layout.view_models_path(OTHER_KEY)).mkdir(parents=True)
    assert main(["verify", str(root)]) == 0
    assert f"models/{OTHER_KEY}: left by KServe's agent, not adopted" in capsys.readouterr().out


def test_a_plain_folder_gets_the_digest_that_its_copy_would_have(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = {"config.json": b"{}", "big/weights.bin": bytes(PART_BYTES + 1), "empty": b""}
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert main(["verify", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"{digest_of_contents(contents)}  {tmp_path}  (3 files, 16.0 MiB;")


def bad_input(path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["verify", str(path)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


def test_bad_paths_get_one_clear_line(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no such folder" in bad_input(tmp_path / "gone", capsys)
    assert "holds no file" in bad_input(tmp_path, capsys)
    (tmp_path / "link").symlink_to("gone")
    assert "link is a symlink" in bad_input(tmp_path, capsys)
    (tmp_path / "file").write_bytes(b"")
    assert "is no folder" in bad_input(tmp_path / "file", capsys)


def test_an_empty_view_is_no_copy(root: pathlib.Path, copy: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / layout.view_models_path(OTHER_KEY)).mkdir(parents=True)
    assert "the view is empty" in bad_input(root / OTHER_KEY, capsys)


def test_an_outcome_that_can_not_be_written_is_told_all_the_same(
    copy: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(copy), "--json", str(tmp_path / "gone" / "outcome.json")]) == 2
    told = capsys.readouterr()
    assert "1 copy, all ok" in told.out
    assert "cannot be written" in told.err
