"""The journal of a download's parts: what it survives."""

from __future__ import annotations

import zlib

import pytest

from cacheagent.journal import DURABLE_SECONDS, FinishedPart, Journal
from cachecore.testing import FakeDisk, VirtualRuntime

PARTS = [FinishedPart("a", "etag", 100, offset, 10, f"{offset:064x}") for offset in (0, 10, 20)]


class Desk:
    def __init__(self) -> None:
        self.runtime = VirtualRuntime()
        self.disk = FakeDisk()
        self.journal = Journal(self.runtime, self.disk, "journal")

    def record(self, *parts: FinishedPart) -> None:
        self.runtime.run(self.journal.record(parts))

    @property
    def content(self) -> bytes:
        return self.disk.files["journal"]

    @content.setter
    def content(self, content: bytes) -> None:
        self.disk.add_file("journal", content)

    def load(self) -> list[FinishedPart]:
        return self.runtime.run(Journal(self.runtime, self.disk, "journal").load())


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.record(*PARTS[:2])
    desk.record(PARTS[2])
    return desk


def test_what_is_recorded_is_loaded(desk: Desk) -> None:
    assert desk.load() == PARTS


def test_without_a_file_nothing_is_known() -> None:
    assert Desk().load() == []


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_torn_tail_costs_its_own_line(desk: Desk, cut: int) -> None:
    desk.content = desk.content[:-cut]
    assert desk.load() == PARTS[:2]


def test_what_follows_a_torn_line_counts(desk: Desk) -> None:
    desk.content = desk.content[:-5]
    desk.record(PARTS[2])
    assert desk.load() == PARTS


@pytest.mark.parametrize("position", [3, 12, 40])
def test_a_bit_that_is_another_costs_its_own_line(desk: Desk, position: int) -> None:
    content = bytearray(desk.content)
    content[position] ^= 1
    desk.content = bytes(content)
    assert desk.load() == PARTS[1:]


def test_zeros_that_a_power_loss_left_cost_nothing_more(desk: Desk) -> None:
    desk.content += bytes(4096)
    desk.record(PARTS[0])
    assert desk.load() == [*PARTS, PARTS[0]]


@pytest.mark.parametrize("text", [b"[]", b"{}", b'["a"]', b'["a","e",1,2,3,4]', b"not json", b"\xff"])
def test_a_line_of_another_version_is_passed_over(desk: Desk, text: bytes) -> None:
    desk.content += b"\n%08x %s" % (zlib.crc32(text), text)
    assert desk.load() == PARTS


def test_a_line_from_before_checksums_counts(desk: Desk) -> None:
    text = b'["a","etag",100,30,10,"ff"]'
    desk.content += b"\n%08x %s" % (zlib.crc32(text), text)
    assert desk.load()[-1] == FinishedPart("a", "etag", 100, 30, 10, "ff", "")


def test_a_power_loss_costs_only_the_parts_of_a_second() -> None:
    desk = Desk()

    async def scenario() -> None:
        await desk.journal.record(PARTS[:1])
        await desk.runtime.sleep(DURABLE_SECONDS)
        await desk.journal.record(PARTS[1:2])
        await desk.journal.record(PARTS[2:])

    desk.runtime.run(scenario())
    desk.disk.crash()
    assert desk.load()[:2] == PARTS[:2]
