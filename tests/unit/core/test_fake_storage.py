from __future__ import annotations

import functools
import hashlib
import random
import zlib
from collections.abc import Coroutine
from typing import Any

import pytest
from blake3 import blake3

from cachecore.errors import (
    DiskFailure,
    DiskFull,
    PathExists,
    PathMissing,
    SourceChanged,
    SourceNotFound,
    SourceUnavailable,
    UnsupportedScheme,
)
from cachecore.ports import Allocation, Checksum, ChecksumAlgorithm, Credentials, MovedPart, Part
from cachecore.testing import FakeDisk, FakeObjectStore, FakeObjectStores, FakePartMover, VirtualRuntime

sha1 = functools.partial(hashlib.sha1, usedforsecurity=False)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return VirtualRuntime().run(coroutine)


def test_an_allocation_takes_its_space_at_once() -> None:
    disk = FakeDisk(capacity_bytes=100)
    run(disk.allocate([Allocation("a/b", 60)]))
    assert run(disk.usage()).free_bytes == 40
    with pytest.raises(DiskFull):
        run(disk.allocate([Allocation("c", 41)]))
    assert list(disk.files) == ["a/b"]


def test_a_foreign_writer_takes_space_too() -> None:
    disk = FakeDisk(capacity_bytes=100)
    disk.foreign_bytes = 90
    with pytest.raises(DiskFull):
        run(disk.write("a", bytes(11)))


def test_allocating_again_keeps_what_is_there() -> None:
    disk = FakeDisk()
    run(disk.allocate([Allocation("a", 4)]))
    disk.write_at("a", 0, b"abcd")
    run(disk.allocate([Allocation("a", 6)]))
    assert disk.files["a"] == b"abcd\0\0"
    run(disk.allocate([Allocation("a", 2)]))
    assert disk.files["a"] == b"ab"


def test_a_crash_spares_what_was_synced() -> None:
    disk = FakeDisk()
    run(disk.write("small", b"kept"))
    run(disk.allocate([Allocation("dir/large", 10)]))
    disk.write_at("dir/large", 0, b"0123456789")
    run(disk.sync_tree("dir"))
    disk.crash()
    assert disk.files == {"dir/large": b"0123456789", "small": b"kept"}


def test_a_crash_may_lose_what_was_not_synced() -> None:
    outcomes = set()
    for seed in range(200):
        disk = FakeDisk(chance=random.Random(seed))
        run(disk.allocate([Allocation("file", 8192)]))
        disk.write_at("file", 0, b"x" * 8192)
        disk.crash()
        content = disk.files.get("file")
        outcomes.add(content if content is None else (len(content), content.count(b"x")))
    assert outcomes >= {None, (0, 0), (8192, 4096), (8192, 8192)}


def test_a_rename_that_failed_after_it_was_done_may_be_undone_by_a_crash() -> None:
    outcomes = set()
    for seed in range(20):
        disk = FakeDisk(chance=random.Random(seed))
        disk.add_file("staging/file", b"x")
        disk.faults.fail("rename", DiskFailure("crash"), after=True)
        with pytest.raises(DiskFailure):
            run(disk.rename("staging", "final"))
        disk.crash()
        outcomes.add(next(iter(disk.files)))
    assert outcomes == {"staging/file", "final/file"}


def test_a_rename_moves_a_whole_tree() -> None:
    disk = FakeDisk()
    disk.add_file("a/b/c", b"x")
    run(disk.make_directory("t"))
    run(disk.rename("a/b", "t/b"))
    assert disk.files == {"t/b/c": b"x"}
    assert disk.directories == ["a", "t", "t/b"]


@pytest.mark.parametrize(
    ("source", "target", "error"),
    [("none", "x", PathMissing), ("a", "no/x", PathMissing), ("a", "full", PathExists)],
)
def test_an_impossible_rename_is_refused(source: str, target: str, error: type[Exception]) -> None:
    disk = FakeDisk()
    disk.add_file("a/file", b"")
    disk.add_file("full/file", b"")
    with pytest.raises(error):
        run(disk.rename(source, target))


def test_a_directory_lists_its_own_entries_in_order() -> None:
    disk = FakeDisk()
    for path in ("d/b", "d/a/deep", "e"):
        disk.add_file(path, b"xy")
    disk.add_symlink("d/link")
    entries = run(disk.list_directory("d"))
    assert [(entry.name, entry.is_directory, entry.is_symlink) for entry in entries] == [
        ("a", True, False),
        ("b", False, False),
        ("link", False, True),
    ]
    with pytest.raises(PathMissing):
        run(disk.list_directory("none"))


def test_removing_a_tree_frees_its_space_and_may_be_repeated() -> None:
    disk = FakeDisk(capacity_bytes=10)
    disk.add_file("a/b", bytes(10))
    run(disk.remove_tree("a"))
    run(disk.remove_tree("a"))
    assert run(disk.usage()).free_bytes == 10


def test_no_path_leaves_the_root() -> None:
    with pytest.raises(DiskFailure, match="leaves the root"):
        run(FakeDisk().read("../etc/passwd"))


def test_a_planned_failure_strikes_the_nth_call_on_a_path() -> None:
    disk = FakeDisk()
    disk.faults.fail("write", DiskFailure("EIO"), "status/*", skip=1)
    run(disk.make_directory("status"))
    run(disk.write("status/a", b"1"))
    with pytest.raises(DiskFailure):
        run(disk.write("status/a", b"2"))
    assert disk.files["status/a"] == b"1"


def test_rot_changes_the_checksum() -> None:
    disk = FakeDisk()
    disk.add_file("a", b"content")
    before = run(disk.checksum("a", 0, 7))
    disk.flip_bit("a", 3)
    assert before == blake3(b"content").hexdigest()
    assert run(disk.checksum("a", 0, 7)) != before


def test_a_store_lists_what_is_below_a_uri() -> None:
    store = FakeObjectStore({"s3://b/m/z": b"1", "s3://b/m/a/c": b"22", "s3://b/mother": b"3"})
    assert [(info.path, info.size_bytes) for info in run(store.list("s3://b/m/"))] == [("a/c", 2), ("z", 1)]
    assert [info.path for info in run(store.list("s3://b/mother"))] == ["mother"]
    with pytest.raises(SourceNotFound):
        run(store.list("s3://b/none"))


def test_an_object_that_was_replaced_is_another_version() -> None:
    store = FakeObjectStore({"s3://b/m/a": b"old"})
    (info,) = run(store.list("s3://b/m"))
    store.put("s3://b/m/a", b"new")
    with pytest.raises(SourceChanged):
        run(store.read(info, 0, 3))


def test_a_read_never_answers_fewer_bytes() -> None:
    store = FakeObjectStore({"s3://b/m/a": b"abc"})
    (info,) = run(store.list("s3://b/m"))
    assert run(store.read(info, 1, 2)) == b"bc"
    with pytest.raises(SourceUnavailable):
        run(store.read(info, 1, 3))


def test_a_mover_writes_the_range_at_its_offset_and_answers_its_checksum() -> None:
    disk, store = FakeDisk(), FakeObjectStore({"s3://b/m/a": b"abcdef"})
    (info,) = run(store.list("s3://b/m"))
    run(disk.allocate([Allocation("f", 6)]))
    part = Part(source=info, offset_bytes=2, length_bytes=3, path="f", algorithm=ChecksumAlgorithm.CRC32)
    moved = run(FakePartMover(disk).move(store, [part]))
    assert disk.files["f"] == b"\0\0cde\0"
    assert moved == [MovedPart(digest=blake3(b"cde").hexdigest(), checksum=f"{zlib.crc32(b'cde'):08x}")]


def test_a_mover_ends_early_rather_than_fail_when_something_has_moved() -> None:
    disk, store = FakeDisk(), FakeObjectStore({"s3://b/m/a": b"abc", "s3://b/m/b": b"def"})
    parts = [Part(source=info, offset_bytes=0, length_bytes=3, path=info.path) for info in run(store.list("s3://b/m"))]
    run(disk.allocate([Allocation("a", 3), Allocation("b", 3)]))
    mover = FakePartMover(disk)
    mover.faults.fail("move", SourceUnavailable("503"), "b")
    assert run(mover.move(store, parts)) == [MovedPart(digest=blake3(b"abc").hexdigest())]
    mover.faults.fail("move", SourceUnavailable("503"), "a")
    with pytest.raises(SourceUnavailable):
        run(mover.move(store, parts))


def test_what_is_appended_lives_through_a_crash_once_it_is_durable() -> None:
    disk = FakeDisk()
    run(disk.append("log/file", b"one", durable=True))
    disk.crash()
    run(disk.append("log/file", b"two", durable=False))
    assert disk.files["log/file"] == b"onetwo"
    disk.crash()
    assert disk.files["log/file"].startswith(b"one")


def test_a_file_is_cut_and_never_made_longer() -> None:
    disk = FakeDisk()
    disk.add_file("f", b"abcdef")
    assert run(disk.shrink("f", 2)) is True
    assert run(disk.shrink("f", 4)) is False
    assert run(disk.shrink("gone", 4)) is False
    disk.opened.add("f")
    assert run(disk.shrink("f", 0)) is False
    assert disk.files == {"f": b"ab"}


def test_another_file_system_is_empty_and_the_first_one_is_as_it_was() -> None:
    disk = FakeDisk()
    disk.add_file("f", b"abcdef")
    disk.mount("disk-1")
    assert (disk.files, run(disk.usage()).file_system) == ({}, "disk-1")
    disk.mount("disk-0")
    assert disk.files == {"f": b"abcdef"}


@pytest.mark.parametrize("part_bytes, raw", [(0, b"abcdef"), (4, b"composite")])
def test_a_store_tells_a_checksum_when_it_is_told_to(part_bytes: int, raw: bytes) -> None:
    store = FakeObjectStore({"s3://b/m/a": b"abcdef"})
    (info,) = run(store.list("s3://b/m"))
    assert run(store.checksum(info)) is None
    store.algorithm, store.checksum_part_bytes = ChecksumAlgorithm.SHA1, part_bytes
    if part_bytes:
        raw = sha1(b"abcd").digest() + sha1(b"ef").digest()
    expected = Checksum(algorithm=ChecksumAlgorithm.SHA1, value=sha1(raw).hexdigest(), part_bytes=part_bytes)
    assert run(store.checksum(info)) == expected


def test_corruption_arrives_on_the_disk_with_the_checksum_of_what_arrived() -> None:
    disk, store = FakeDisk(), FakeObjectStore({"s3://b/m/a": b"abc"})
    (info,) = run(store.list("s3://b/m"))
    store.corrupt("s3://b/m/a")
    run(disk.allocate([Allocation("f", 3)]))
    (moved,) = run(FakePartMover(disk).move(store, [Part(source=info, offset_bytes=0, length_bytes=3, path="f")]))
    assert disk.files["f"] == b"`bc"
    assert moved.digest == blake3(b"`bc").hexdigest()


def test_a_scheme_without_a_driver_names_those_that_have_one() -> None:
    stores = FakeObjectStores({"s3": FakeObjectStore(), "hf": FakeObjectStore()})
    with pytest.raises(UnsupportedScheme, match="for: hf, s3"):
        run(stores.open("ftp://b/m", Credentials()))
