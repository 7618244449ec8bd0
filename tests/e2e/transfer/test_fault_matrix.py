"""Every fault of a store, at the first, the middle and the last part, of small objects and of large ones.

What is asked for is counted: a fault that passes costs the one part that it hit (an object whose checksum is wrong in
the end: that object), and what is on the disk is not asked for again after a fault that doesn't.
"""

from __future__ import annotations

import random
from base64 import b64encode

import msgspec
import pytest

from cacheagent.checksums import checksum_of
from cachecore.errors import (
    AccessDenied,
    CorruptTransfer,
    SourceChanged,
    SourceError,
    SourceNotFound,
    SourceThrottled,
    SourceUnavailable,
)
from cachecore.ports import ChecksumAlgorithm
from cachecore.store.digest import digest_of_contents
from cachesim.localcluster.testing_s3 import S3Fault
from cachesim.localcluster.testing_transfer import BUCKET, LIMITS, PART_BYTES, TransferBench

RANDOM = random.Random(5)
FIRST, MIDDLE, LAST = range(3)

# Objects in the order in which they are fetched. The small ones of "batched" pass one connection in one go; an object
# of "single" is one part; "parts" has one of five parts, and a neighbour that no fault of it may touch.
SHAPES = {
    "batched": {"a": RANDOM.randbytes(3000), "b": RANDOM.randbytes(3000), "c": RANDOM.randbytes(3000)},
    "single": {"a": RANDOM.randbytes(40_000), "b": RANDOM.randbytes(40_000), "c": RANDOM.randbytes(40_000)},
    "parts": {"big": RANDOM.randbytes(4 * PART_BYTES + 1234), "z": RANDOM.randbytes(3000)},
}

# What a fault is in the end when it doesn't pass.
ERRORS: dict[S3Fault, type[SourceError]] = {
    S3Fault.UNAVAILABLE: SourceUnavailable,
    S3Fault.SLOW_DOWN: SourceThrottled,
    S3Fault.REFUSED: AccessDenied,
    S3Fault.MISSING: SourceNotFound,
    S3Fault.RESET: SourceUnavailable,
    S3Fault.STALL: SourceUnavailable,
    S3Fault.TRICKLE: SourceUnavailable,
    S3Fault.TRUNCATED: SourceUnavailable,
    S3Fault.CORRUPT: CorruptTransfer,
    S3Fault.WHOLE: CorruptTransfer,
    S3Fault.SHIFTED: CorruptTransfer,
    S3Fault.SHORT: CorruptTransfer,
}
# Those that only the client's own patience ends.
SILENT = (S3Fault.STALL, S3Fault.TRICKLE)
MANY = msgspec.structs.replace(LIMITS, attempts=10)
FEW = msgspec.structs.replace(LIMITS, attempts=2, object_attempts=2)
CASES = [
    pytest.param(fault, shape, where, id=f"{fault.name.lower()}-{shape}-{('first', 'middle', 'last')[where]}")
    for fault in ERRORS
    for shape in SHAPES
    for where in (FIRST, MIDDLE, LAST)
    # For an object in one part no range is asked: 200 and the whole of it is the right answer.
    if fault is not S3Fault.WHOLE or shape == "parts"
]


def put(bench: TransferBench, model: str, contents: dict[str, bytes]) -> None:
    """With the checksum that S3 makes of every object today."""
    for path, content in contents.items():
        made = bytes.fromhex(checksum_of(ChecksumAlgorithm.CRC64NVME, content))
        bench.s3.put(f"{BUCKET}/{model}/{path}", content, headers=crc64nvme(made))


def crc64nvme(made: bytes) -> dict[str, str]:
    return {"x-amz-checksum-crc64nvme": b64encode(made).decode(), "x-amz-checksum-type": "FULL_OBJECT"}


def ranges(contents: dict[str, bytes]) -> list[tuple[str, int]]:
    """Everything that is asked for, in order."""
    return [(path, offset) for path, content in contents.items() for offset in range(0, len(content), PART_BYTES)]


def target(shape: str, where: int) -> tuple[str, int]:
    return ("big", (0, 2, 4)[where] * PART_BYTES) if shape == "parts" else ("abc"[where], 0)


def asked(bench: TransferBench, model: str) -> dict[tuple[str, int], int]:
    return {(key.removeprefix(f"{BUCKET}/{model}/"), offset): n for (key, offset), n in bench.s3.asked.items()}


def assert_whole(bench: TransferBench, model: str, contents: dict[str, bytes]) -> None:
    assert bench.published(model) == contents
    report = bench.verify(model)
    assert not report.found
    assert report.digest == digest_of_contents(contents, PART_BYTES)


@pytest.mark.parametrize("fault, shape, where", [case for case in CASES if case.values[0] is not S3Fault.MISSING])
def test_a_fault_that_passes_costs_what_it_hit(
    bench: TransferBench, model: str, fault: S3Fault, shape: str, where: int
) -> None:
    contents, (path, offset) = SHAPES[shape], target(shape, where)
    put(bench, model, contents)
    bench.s3.fail(fault, f"{BUCKET}/{model}/{path}", offset)
    impatient = fault in SILENT
    bench.download(model, impatient=impatient, limits=MANY if impatient else LIMITS)
    assert_whole(bench, model, contents)
    expected = dict.fromkeys(ranges(contents), 1)
    for place in expected:
        # Only the whole object's checksum tells that one of its parts is corrupt.
        if place == (path, offset) or (fault is S3Fault.CORRUPT and place[0] == path):
            expected[place] += 1
    if impatient:
        # A machine that is busy is silent, too.
        assert asked(bench, model).keys() == expected.keys()
        assert asked(bench, model)[path, offset] >= 2
    else:
        assert asked(bench, model) == expected


@pytest.mark.parametrize("fault, shape, where", CASES)
def test_a_fault_that_stays_publishes_nothing_and_is_resumed_from(
    bench: TransferBench, model: str, fault: S3Fault, shape: str, where: int
) -> None:
    contents, (path, offset) = SHAPES[shape], target(shape, where)
    put(bench, model, contents)
    bench.s3.fail(fault, f"{BUCKET}/{model}/{path}", offset, times=None)
    with pytest.raises(ERRORS[fault], match=f"s3://{BUCKET}/{model}/{'' if fault in SILENT else path}"):
        bench.download(model, impatient=fault in SILENT, limits=FEW)
    assert bench.published(model) == {}
    bench.s3.heal()
    bench.download(model)
    assert_whole(bench, model, contents)
    if fault not in SILENT:
        places = ranges(contents)
        missing = places[places.index((path, offset)) :]
        if fault is S3Fault.CORRUPT and shape == "parts":
            # It had come with all the rest. Which of its parts is corrupt, nobody can say.
            missing = [place for place in places if place[0] == path]
        assert asked(bench, model) == dict.fromkeys(missing, 1)


@pytest.mark.parametrize("where", [FIRST, MIDDLE, LAST], ids=["first", "middle", "last"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pinned", [True, False], ids=["412", "another-etag"])
def test_an_object_that_changes_comes_whole_and_new_and_alone(
    bench: TransferBench, model: str, shape: str, where: int, pinned: bool
) -> None:
    contents, (path, offset) = SHAPES[shape], target(shape, where)
    put(bench, model, contents)
    changed = {**contents, path: contents[path][::-1]}
    bench.s3.checks_etag = pinned
    bench.s3.replace(f"{BUCKET}/{model}/{path}", changed[path], offset)
    bench.download(model)
    bench.s3.checks_etag = True
    assert_whole(bench, model, changed)
    expected = {place: 2 if place[0] == path and place[1] <= offset else 1 for place in ranges(contents)}
    if shape == "batched" and where is not FIRST:
        # A batch ends early at what fails, and begins again with it.
        expected[path, offset] += 1
    assert asked(bench, model) == expected


@pytest.mark.parametrize("size", [0, 10, 3 * PART_BYTES, 4 * PART_BYTES], ids=["empty", "tiny", "smaller", "aligned"])
def test_an_object_that_shrinks_comes_whole(bench: TransferBench, model: str, size: int) -> None:
    contents = SHAPES["parts"]
    put(bench, model, contents)
    changed = {**contents, "big": RANDOM.randbytes(size)}
    bench.s3.replace(f"{BUCKET}/{model}/big", changed["big"], 2 * PART_BYTES)
    bench.download(model)
    assert_whole(bench, model, changed)


def test_an_object_that_grows_needs_room_first(bench: TransferBench, model: str) -> None:
    contents = SHAPES["parts"]
    put(bench, model, contents)
    changed = {**contents, "big": RANDOM.randbytes(9 * PART_BYTES)}
    bench.s3.replace(f"{BUCKET}/{model}/big", changed["big"], 2 * PART_BYTES)
    with pytest.raises(SourceChanged, match="more room"):
        bench.download(model)
    assert bench.published(model) == {}
    bench.s3.heal()
    bench.download(model)
    assert_whole(bench, model, changed)
    assert ("z", 0) not in asked(bench, model)


def test_an_object_that_is_deleted_half_way_is_not_found(bench: TransferBench, model: str) -> None:
    put(bench, model, SHAPES["parts"])
    listing = bench.list(model)
    del bench.s3.objects[f"{BUCKET}/{model}/z"]
    with pytest.raises(SourceNotFound, match=f"{model}/z"):
        bench.download(model, listing=listing)
    assert bench.published(model) == {}
    bench.download(model)
    assert_whole(bench, model, {"big": SHAPES["parts"]["big"]})


@pytest.mark.parametrize("seed", range(6))
def test_many_faults_at_once_over_several_connections_end_right(bench: TransferBench, model: str, seed: int) -> None:
    chance = random.Random(seed)
    contents = {f"file-{n}": chance.randbytes(chance.choice((0, 900, 70_000, 400_000))) for n in range(12)}
    put(bench, model, contents)
    faults = [fault for fault in ERRORS if fault not in (*SILENT, S3Fault.MISSING, S3Fault.REFUSED)]
    for path, offset in ranges(contents):
        if chance.random() < 0.3:
            bench.s3.fail(chance.choice(faults), f"{BUCKET}/{model}/{path}", offset)
    bench.download(model, connections=4)
    assert_whole(bench, model, contents)
