"""Which parts a download is made of, and in which order they move."""

from __future__ import annotations

from cacheagent.parts import BATCH_PARTS, batches, parts_of
from cachecore.ports import ObjectInfo, Part

PART_BYTES = 160


def parts(**sizes: int) -> list[Part]:
    infos = [ObjectInfo(path=path, location=path, size_bytes=size) for path, size in sizes.items()]
    return [part for info in infos for part in parts_of(info, "files", PART_BYTES)]


def shape(made: list[Part]) -> list[list[tuple[str, int]]]:
    return [[(part.path, part.offset_bytes) for part in batch] for batch in batches(made, PART_BYTES)]


def test_parts_cover_an_object_once_and_the_last_is_shorter() -> None:
    assert [(part.offset_bytes, part.length_bytes) for part in parts(a=400)] == [(0, 160), (160, 160), (320, 80)]


def test_an_empty_object_has_no_part() -> None:
    assert parts(a=0) == []
    assert batches([], PART_BYTES) == []


def test_the_biggest_object_goes_first_and_alone() -> None:
    assert shape(parts(b=170, a=170, c=11)) == [
        [("files/a", 0)],
        [("files/a", 160)],
        [("files/b", 0)],
        [("files/b", 160)],
        [("files/c", 0)],
    ]


def test_small_objects_go_together_up_to_a_part() -> None:
    made = batches(parts(**{f"file{number:02}": 10 for number in range(20)}), PART_BYTES)
    assert [len(batch) for batch in made] == [16, 4]
    assert all(sum(part.length_bytes for part in batch) <= PART_BYTES for batch in made)


def test_a_batch_has_only_so_many_objects() -> None:
    made = batches(parts(**{f"file{number:03}": 1 for number in range(BATCH_PARTS + 1)}), PART_BYTES)
    assert [len(batch) for batch in made] == [BATCH_PARTS, 1]
