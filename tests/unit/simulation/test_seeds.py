from __future__ import annotations

import pytest

from cachecore.errors import InvalidInput
from cachesim.simulation.seeds import SeedRange, missing_between, parse_seeds, seed_ranges


@pytest.mark.parametrize(
    "text, wanted", [("1..1000", SeedRange(1, 1000)), ("7", SeedRange(7, 7)), ("3..3", SeedRange(3, 3))]
)
def test_a_range_is_read(text: str, wanted: SeedRange) -> None:
    assert parse_seeds(text) == wanted


@pytest.mark.parametrize("text", ["", "1..", "..9", "1-9", "-1..9", "1..9..12", "one", "9" * 30])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"is no range of seeds: write 1\.\.1000"):
        parse_seeds(text)


def test_a_range_without_seeds_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"9\.\.1 has no seeds"):
        parse_seeds("9..1")


def test_indexes_follow_on_each_other() -> None:
    ranges = [SeedRange(11, 20).at_index(index) for index in range(3)]
    assert ranges == [SeedRange(11, 20), SeedRange(21, 30), SeedRange(31, 40)]


def test_seeds_are_told_as_ranges() -> None:
    assert seed_ranges([5, 1, 2, 3, 9, 8, 2]) == (SeedRange(1, 3), SeedRange(5, 5), SeedRange(8, 9))
    assert [str(found) for found in seed_ranges([5, 1, 2, 3])] == ["1..3", "5"]


def test_a_gap_is_found_in_whatever_order_the_ranges_come() -> None:
    assert missing_between([SeedRange(31, 40), SeedRange(1, 10), SeedRange(11, 20)]) == (SeedRange(21, 30),)
    assert missing_between([SeedRange(11, 20), SeedRange(1, 10)]) == ()
