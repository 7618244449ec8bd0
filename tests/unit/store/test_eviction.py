"""What each policy keeps longer."""

from __future__ import annotations

import itertools

import pytest

from cachecore.eviction import HALF_LIFE_SECONDS, Usage, arrived, inflated, used, value
from cachecore.resources.serving import EvictionPolicy

MIB = 2**20
LRU, GREEDY, LFU, LRFU = (
    EvictionPolicy.LRU,
    EvictionPolicy.GREEDY_DUAL_SIZE,
    EvictionPolicy.LFU,
    EvictionPolicy.LRFU,
)


def worth(policy: EvictionPolicy, usage: Usage, *, size_bytes: int = 100 * MIB, now: float = 1000.0) -> float:
    return value(policy, usage, size_bytes=size_bytes, now=now)


def history(*times: float, arrival: float = 0.0, inflation: float = 0.0) -> Usage:
    usage = arrived(arrival, inflation=inflation)
    for time in times:
        usage = used(usage, time, inflation=inflation)
    return usage


def test_lru_keeps_what_was_used_last() -> None:
    assert worth(LRU, history(10.0)) < worth(LRU, history(5.0, 20.0))


def test_lru_counts_an_arrival_as_a_use() -> None:
    assert worth(LRU, history(10.0)) < worth(LRU, history(arrival=11.0))


def test_lfu_keeps_what_is_used_often() -> None:
    assert worth(LFU, history(900.0)) < worth(LFU, history(100.0, 200.0, 300.0))


def test_lfu_forgets_with_time() -> None:
    now = 20 * HALF_LIFE_SECONDS
    often_once = history(*(float(time) for time in range(50)))
    assert worth(LFU, often_once, now=now) < worth(LFU, history(now - 1.0), now=now)


@pytest.mark.parametrize("policy", [GREEDY, LFU, LRFU])
def test_small_models_are_worth_more_by_the_byte(policy: EvictionPolicy) -> None:
    small = worth(policy, history(10.0), size_bytes=MIB)
    assert small > worth(policy, history(10.0), size_bytes=1000 * MIB)


def test_greedy_dual_size_ages_what_is_not_used() -> None:
    victim = history(10.0)
    inflation = inflated(0.0, victim, size_bytes=MIB)
    large_but_used = worth(GREEDY, history(20.0, inflation=inflation), size_bytes=1000 * MIB)
    assert large_but_used > worth(GREEDY, victim, size_bytes=MIB)


@pytest.mark.parametrize("policy", list(EvictionPolicy))
def test_a_use_never_makes_a_model_worth_less(policy: EvictionPolicy) -> None:
    times = [10.0, 20.0, 500.0, 900.0]
    values = [worth(policy, history(*times[:count])) for count in range(len(times) + 1)]
    assert all(later >= earlier for earlier, later in itertools.pairwise(values))


def test_a_clock_that_falls_back_reorders_nothing() -> None:
    before = history(100.0)
    assert used(before, 50.0, inflation=0.0).last_used_seconds == 100.0


def test_lrfu_weighs_many_old_uses_against_a_late_one() -> None:
    day = 24 * 3600.0
    daily, late = history(*(number * day for number in range(1, 31))), history(30.9 * day)
    # An hour after it the late use counts more, the day after that what is used daily does.
    assert worth(LRFU, late, now=30.95 * day) > worth(LRFU, history(day, 2 * day), now=30.95 * day)
    assert worth(LRFU, daily, now=32 * day) > worth(LRFU, late, now=32 * day)


@pytest.mark.parametrize("age_hours", [2, 5, 12, 50, 100])
def test_lrfu_comes_close_to_a_power_of_the_age(age_hours: float) -> None:
    def need(hours: float) -> float:
        return worth(LRFU, history(1e9, arrival=-1e12), now=1e9 + hours * 3600.0)

    assert need(4 * age_hours) / need(age_hours) == pytest.approx(4**-0.5, rel=0.25)


def test_lrfu_takes_over_the_last_use_of_an_agent_that_did_not_count() -> None:
    before = Usage(arrived_seconds=0.0, last_used_seconds=1000.0, frequency=3.0)
    now = 1000.0 + 3600.0
    assert worth(LRFU, before, now=now) == worth(LRFU, history(1000.0), now=now)
    assert used(before, now, inflation=0.0).frequencies[0] == pytest.approx(1.5)
