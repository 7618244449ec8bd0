"""Ranges of seeds: what a campaign is told to run, what one index of a Kubernetes Job runs, and what is missing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

import msgspec

from cachecore.errors import InvalidInput

_RANGE = re.compile(r"(\d{1,18})(?:\.\.(\d{1,18}))?")


class SeedRange(msgspec.Struct, frozen=True, order=True):
    """The seeds from `first` to `last`, both included; written `1..1000`, or `7` for one."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}..{self.last}"

    def __len__(self) -> int:
        return self.last - self.first + 1

    def at_index(self, index: int) -> SeedRange:
        """As many seeds, `index` ranges further on: at index 2 of 1..1000 they are 2001..3000."""
        offset = index * len(self)
        return SeedRange(self.first + offset, self.last + offset)


def parse_seeds(text: str) -> SeedRange:
    """Raises `InvalidInput`."""
    found = _RANGE.fullmatch(text)
    if found is None:
        raise InvalidInput(f"{text!r} is no range of seeds: write 1..1000")
    first = int(found[1])
    last = int(found[2] or found[1])
    if last < first:
        raise InvalidInput(f"{text} has no seeds: the second number must not be less than the first")
    return SeedRange(first, last)


def seed_ranges(seeds: Iterable[int]) -> tuple[SeedRange, ...]:
    """The fewest ranges that have exactly these seeds, in order."""
    found: list[SeedRange] = []
    for seed in sorted(set(seeds)):
        if found and found[-1].last == seed - 1:
            found[-1] = SeedRange(found[-1].first, seed)
        else:
            found.append(SeedRange(seed, seed))
    return tuple(found)


def missing_between(ranges: Iterable[SeedRange]) -> tuple[SeedRange, ...]:
    """The seeds between the first and the last one that are in none of the ranges."""
    missing = []
    for before, after in itertools.pairwise(sorted(ranges)):
        if after.first > before.last + 1:
            missing.append(SeedRange(before.last + 1, after.first - 1))
    return tuple(missing)
