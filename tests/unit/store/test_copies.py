"""Manifests, scans and verification: what is believed of a copy on disk, and what is not."""

from __future__ import annotations

import msgspec
import pytest

from cachecore.store import layout, manifest
from cachecore.store.digest import digest_of_contents, part_digest, part_ranges
from cachecore.store.scan import StoreFacts, scan
from cachecore.store.verify import VerifyReport, verify_copy
from cachecore.testing import FakeDisk, VirtualRuntime

KEY = "0123456789abcdef"
CONTENTS = {"a.bin": bytes(range(20)), "sub/b.bin": b"", "sub/c.bin": b"12345678"}


def whole_manifest() -> manifest.Manifest:
    files = tuple(
        manifest.make_file(
            path,
            len(content),
            "etag",
            tuple(part_digest(content[offset : offset + length]) for offset, length in part_ranges(len(content), 8)),
        )
        for path, content in reversed(CONTENTS.items())
    )
    return manifest.make_manifest(key=KEY, source_model_uri="s3://m/iris", part_bytes=8, files=files, now=1000.0)


@pytest.fixture
def disk() -> FakeDisk:
    """A disk with one whole copy."""
    disk = FakeDisk()
    disk.add_file(layout.STORE_ID_PATH, b"store-1\n")
    disk.add_file(layout.manifest_path(KEY), manifest.encode(whole_manifest()))
    for path, content in CONTENTS.items():
        disk.add_file(f"{layout.published_path(KEY)}/{path}", content)
    return disk


def look(disk: FakeDisk) -> StoreFacts:
    return VirtualRuntime().run(scan(disk))


def verify(disk: FakeDisk) -> VerifyReport:
    return VirtualRuntime().run(verify_copy(disk, KEY))


def test_a_manifest_survives_its_encoding() -> None:
    assert manifest.decode(manifest.encode(whole_manifest())) == whole_manifest()


def test_a_manifest_has_the_digest_of_the_content() -> None:
    assert whole_manifest().digest == digest_of_contents(CONTENTS, 8)
    assert whole_manifest().size_bytes == 28


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"key": 1}'])
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(manifest.UnreadableManifest):
        manifest.decode(content)


@pytest.mark.parametrize("change", [{"version": 9}, {"digest": "blake3:00"}, {"part_bytes": 16}])
def test_a_manifest_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    forged = manifest.encode(msgspec.structs.replace(whole_manifest(), **change))
    with pytest.raises(manifest.UnreadableManifest):
        manifest.decode(forged)


def test_a_whole_copy_is_seen(disk: FakeDisk) -> None:
    facts = look(disk)
    assert facts.store_id == "store-1"
    assert facts.views == (KEY,)
    assert [copy.whole for copy in facts.copies] == [True]


def test_an_empty_disk_holds_nothing() -> None:
    assert look(FakeDisk()) == StoreFacts()


@pytest.mark.parametrize("path", sorted(CONTENTS))
def test_a_copy_that_lacks_a_file_is_not_whole(disk: FakeDisk, path: str) -> None:
    del disk._files[f"{layout.published_path(KEY)}/{path}"]
    (copy,) = look(disk).copies
    assert not copy.whole
    assert copy.problems == (f"{path}: missing",)


def test_a_copy_with_a_file_of_another_size_is_not_whole(disk: FakeDisk) -> None:
    disk.add_file(f"{layout.published_path(KEY)}/a.bin", b"short")
    assert look(disk).copies[0].problems == ("a.bin: 5 bytes instead of 20",)


def test_a_copy_with_a_file_too_many_is_not_whole(disk: FakeDisk) -> None:
    disk.add_file(f"{layout.published_path(KEY)}/more", b"")
    assert not look(disk).copies[0].whole


def test_a_symlink_is_no_file_of_a_model(disk: FakeDisk) -> None:
    disk.add_symlink(f"{layout.published_path(KEY)}/sub/b.bin")
    assert look(disk).copies[0].problems == ("sub/b.bin: a symlink instead of a file",)


def test_a_manifest_of_another_key_proves_nothing(disk: FakeDisk) -> None:
    forged = msgspec.structs.replace(whole_manifest(), key="f" * 16)
    disk.add_file(layout.manifest_path(KEY), manifest.encode(forged))
    (copy,) = look(disk).copies
    assert copy.published
    assert copy.manifest is None


def test_staging_trash_and_copies_of_kserve_are_seen(disk: FakeDisk) -> None:
    disk.add_file(f"{layout.staging_files_path(KEY)}/a.bin", bytes(7))
    disk.add_file(f"{layout.trash_path('old')}/a.bin", bytes(7))
    disk.add_file(f"{layout.legacy_path('f' * 16)}/a.bin", bytes(7))
    facts = look(disk)
    assert [(staged.key, staged.allocated_bytes) for staged in facts.staged] == [(KEY, 7)]
    assert facts.trash == ("old",)
    assert facts.legacy == ("f" * 16,)


def test_a_whole_copy_is_verified(disk: FakeDisk) -> None:
    report = verify(disk)
    assert report.ok
    assert report.digest == report.expected_digest == digest_of_contents(CONTENTS, 8)
    assert (report.files, report.size_bytes) == (3, 28)


def test_a_flipped_bit_is_found_and_its_part_named(disk: FakeDisk) -> None:
    disk.flip_bit(f"{layout.published_path(KEY)}/a.bin", 17)
    report = verify(disk)
    assert report.problems == ("a.bin: other bytes than were downloaded, in the 4 bytes from offset 16",)
    assert report.digest != report.expected_digest


def test_a_missing_file_is_found_and_there_is_no_digest(disk: FakeDisk) -> None:
    del disk._files[f"{layout.published_path(KEY)}/a.bin"]
    report = verify(disk)
    assert report.problems == ("a.bin: missing",)
    assert report.digest == ""


def test_a_copy_without_manifest_or_folder_is_not_ok(disk: FakeDisk) -> None:
    VirtualRuntime().run(disk.remove_tree(layout.published_path(KEY)))
    assert verify(disk).problems == ("the folder is missing",)
    VirtualRuntime().run(disk.remove_tree(layout.manifest_path(KEY)))
    assert verify(disk).problems == (f"{layout.manifest_path(KEY)}: missing",)
