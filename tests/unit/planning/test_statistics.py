"""Confidence intervals, held against numbers from a table of Student's t."""

from __future__ import annotations

import math

import pytest

from cachesim.planning.outcome import Interval
from cachesim.planning.statistics import half_width, interval, paired, samples_of


def test_the_half_width_is_that_of_students_t() -> None:
    # The deviation is the root of 2.5, t for four degrees of freedom is 2.776.
    assert half_width([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2.776 * math.sqrt(2.5) / math.sqrt(5), rel=1e-3)


def test_two_samples_tell_little() -> None:
    # Twelve times the deviation of their mean.
    assert half_width([1.0, 3.0]) == pytest.approx(12.706 * math.sqrt(2) / math.sqrt(2), rel=1e-3)


@pytest.mark.parametrize("samples", [[], [7.0]])
def test_one_sample_tells_nothing(samples: list[float]) -> None:
    assert half_width(samples) is None
    assert interval(7.0, samples) == Interval(value=7.0)


def test_samples_that_agree_leave_no_doubt() -> None:
    assert interval(4.0, [4.0, 4.0, 4.0]) == Interval(value=4.0, low=4.0, high=4.0)


def test_an_interval_lies_around_its_value() -> None:
    found = interval(10.0, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.low == pytest.approx(10 - 1.963, abs=1e-3)
    assert found.high == pytest.approx(10 + 1.963, abs=1e-3)


def test_three_replications_are_samples_themselves() -> None:
    assert samples_of([1.0, 2.0, 3.0], [[9.0, 9.0]] * 3) == [1.0, 2.0, 3.0]


def test_with_fewer_the_slices_are_but_for_the_first_of_each() -> None:
    assert samples_of([1.0, 2.0], [[100.0, 1.0, 2.0], [200.0, 3.0, 4.0]]) == [1.0, 2.0, 3.0, 4.0]


def test_a_slice_without_starts_is_no_sample() -> None:
    assert samples_of([1.0], [[100.0, math.nan, 2.0]]) == [2.0]


def test_a_difference_is_relative_to_the_first_ones_mean() -> None:
    found = paired([100.0, 200.0, 300.0], [90.0, 180.0, 270.0])
    assert found is not None
    assert found.value == pytest.approx(-0.1)


def test_differences_of_pairs_are_narrower_than_of_strangers() -> None:
    first, second = [10.0, 20.0, 30.0, 40.0, 50.0], [11.0, 21.5, 31.0, 41.5, 51.0]
    found = paired(first, second)
    assert found is not None
    assert found.low is not None
    # Each alone varies by far more than they differ: only in pairs can they be told apart.
    alone = half_width(first)
    assert alone is not None
    assert found.low > 0
    assert (found.value - found.low) * 30.0 < alone / 10


def test_equal_samples_do_not_differ() -> None:
    assert paired([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == Interval(value=0.0, low=0.0, high=0.0)


@pytest.mark.parametrize("samples", [[], [5.0], [0.0, 0.0, 0.0]])
def test_without_samples_there_is_no_difference_to_tell(samples: list[float]) -> None:
    assert paired(samples, samples) is None
