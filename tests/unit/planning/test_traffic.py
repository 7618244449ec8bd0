"""Starts that are drawn by lot: the same for the same seed, and as the traffic says."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from cachesim.planning.parameters import apply
from cachesim.planning.starts import Starts
from cachesim.planning.traffic import DAY_SECONDS, draw_starts, sessions
from cachesim.simulation.scenario import Bursts, FlashCrowd, Model, NodeGroup, Nodes, Release, Scenario, Traffic

MODELS = 20


def draw(traffic: Traffic, *, seed: int = 1, duration: str = "1d", models: int = MODELS) -> Starts:
    return draw_starts(_scenario(duration, models), traffic, seed)


def _scenario(duration: str = "1d", models: int = MODELS) -> Scenario:
    return Scenario(
        name="many",
        description="many models",
        duration=duration,
        nodes=Nodes(count=2, disk="100Gi"),
        group=NodeGroup(storage_limit="80Gi"),
        models=tuple(Model(name=f"m{number}", size="1Gi") for number in range(models)),
    )


def columns(starts: Starts) -> list[list[float]]:
    return [list(starts.seconds), list(starts.models), list(starts.nodes), list(starts.lifetime_seconds)]


def counts(starts: Starts, begin: float = 0.0, end: float = np.inf) -> list[int]:
    """How many starts each model has between two times."""
    then = (starts.seconds >= begin) & (starts.seconds < end)
    return [int(count) for count in np.bincount(starts.models[then], minlength=MODELS)]


ALL_PATTERNS = Traffic(
    starts_per_hour=50,
    diurnal=0.8,
    drift="1d",
    bursts=Bursts(starts=3, over="10m"),
    flash_crowds=(FlashCrowd(at="2h", model="m7", starts=20),),
    releases=(Release(at="3h"),),
    idle="15m",
)


@pytest.mark.parametrize("traffic", [Traffic(starts_per_hour=50), ALL_PATTERNS], ids=["plain", "patterns"])
def test_the_same_seed_draws_the_same_starts(traffic: Traffic) -> None:
    one, other = draw(traffic), draw(traffic)
    assert (columns(one), one.replacements) == (columns(other), other.replacements)


def test_another_seed_draws_others() -> None:
    assert columns(draw(Traffic(starts_per_hour=50))) != columns(draw(Traffic(starts_per_hour=50), seed=2))


@pytest.mark.parametrize(
    "parameters",
    [{"disk": "50Gi"}, {"policy": "LFU"}, {"nodes": "7"}, {"copies": "1"}, {"pinned": "3"}, {"bandwidth": "1Gbps"}],
    ids=lambda parameters: next(iter(parameters)),
)
def test_what_is_varied_leaves_the_starts_alone(parameters: dict[str, str]) -> None:
    scenario = _scenario()
    varied = draw_starts(apply(scenario, parameters), ALL_PATTERNS, 1)
    assert columns(varied) == columns(draw_starts(scenario, ALL_PATTERNS, 1))


def test_starts_are_in_the_order_of_time_and_any_node_may_take_them() -> None:
    starts = draw(ALL_PATTERNS)
    assert (np.diff(starts.seconds) >= 0).all()
    assert (starts.nodes == -1).all()


def test_there_are_as_many_starts_as_the_traffic_says() -> None:
    starts = draw(Traffic(starts_per_hour=100), duration="10d")
    # A Poisson process: 24,000, give or take three times the root of it.
    assert len(starts) == pytest.approx(24_000, abs=3 * 24_000**0.5)


def test_the_gaps_are_those_of_a_poisson_process() -> None:
    gaps = np.diff(draw(Traffic(starts_per_hour=100), duration="10d").seconds)
    assert gaps.mean() == pytest.approx(36.0, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)


def test_lifetimes_are_as_long_as_asked_on_average() -> None:
    starts = draw(Traffic(starts_per_hour=100, lifetime="10m"), duration="10d")
    assert starts.lifetime_seconds.mean() == pytest.approx(600.0, rel=0.03)


def test_models_are_wanted_by_their_rank() -> None:
    found = counts(draw(Traffic(starts_per_hour=400, zipf=1.0), duration="10d"))
    assert found[0] > found[1] > found[2] > found[3]
    assert found[0] / found[1] == pytest.approx(2.0, rel=0.05)
    assert found[0] / found[9] == pytest.approx(10.0, rel=0.1)


def test_without_a_law_all_are_wanted_alike() -> None:
    found = counts(draw(Traffic(starts_per_hour=400, zipf=0.0), duration="10d"))
    assert min(found) / max(found) > 0.9


def test_nothing_starts_before_the_beginning() -> None:
    starts = draw(Traffic(starts_per_hour=100, begin="2h"))
    assert 7200.0 <= starts.seconds[0] < 7200.0 + 600.0


def test_nothing_starts_after_the_end() -> None:
    starts = draw(ALL_PATTERNS, duration="150m")
    assert 8000.0 < starts.seconds[-1] < 9000.0
    assert starts.duration_seconds == 9000.0


def test_traffic_that_begins_after_the_end_is_none() -> None:
    assert len(draw(Traffic(starts_per_hour=100, begin="2h"), duration="1h")) == 0


def test_a_longer_plan_begins_with_the_same_starts() -> None:
    short, long = draw(Traffic(starts_per_hour=50)), draw(Traffic(starts_per_hour=50), duration="30d")
    assert [column[: len(short)] for column in columns(long)] == columns(short)


def test_by_day_a_model_starts_more_than_by_night() -> None:
    starts = draw(Traffic(starts_per_hour=200, zipf=0.0, diurnal=1.0), duration="20d")
    for model in range(MODELS):
        turns = starts.seconds[starts.models == model] / DAY_SECONDS * 2 * np.pi
        noon = np.angle(np.exp(1j * turns).mean())
        by_day, by_night = (np.cos(turns - noon) > 0.7).sum(), (np.cos(turns - noon) < -0.7).sum()
        assert by_day > 5 * by_night


def test_without_days_no_model_has_a_noon() -> None:
    starts = draw(Traffic(starts_per_hour=200, zipf=0.0), duration="20d")
    turns = starts.seconds[starts.models == 0] / DAY_SECONDS * 2 * np.pi
    assert abs(np.exp(1j * turns).mean()) < 0.1


def test_days_leave_how_much_starts_alone() -> None:
    traffic = Traffic(starts_per_hour=50)
    by_day = msgspec.structs.replace(traffic, diurnal=0.9)
    assert list(draw(by_day).seconds) == list(draw(traffic).seconds)


def test_drift_makes_other_models_the_favourites() -> None:
    starts = draw(Traffic(starts_per_hour=400, drift="2d"), duration="20d")
    first = np.argsort(counts(starts, end=DAY_SECONDS / 2))[-5:]
    last = np.argsort(counts(starts, begin=19 * DAY_SECONDS))[-5:]
    assert len(set(first) & set(last)) < 4


def test_without_drift_the_favourite_stays() -> None:
    starts = draw(Traffic(starts_per_hour=400), duration="20d")
    assert np.argmax(counts(starts, end=DAY_SECONDS)) == np.argmax(counts(starts, begin=19 * DAY_SECONDS)) == 0


def _bursts(starts: Starts) -> list[Any]:
    """The models of each burst, where an hour lies between bursts."""
    return np.split(starts.models, np.flatnonzero(np.diff(starts.seconds) > 3600.0) + 1)


def test_bursts_leave_the_rate_as_it_is() -> None:
    starts = draw(Traffic(starts_per_hour=100, bursts=Bursts(starts=5, over="1m")), duration="20d")
    assert len(starts) == pytest.approx(48_000, rel=0.04)


def test_bursts_have_so_many_starts_on_average() -> None:
    starts = draw(Traffic(starts_per_hour=0.1, bursts=Bursts(starts=5, over="1m")), duration="4000d")
    bursts = _bursts(starts)
    assert np.mean([len(burst) for burst in bursts]) == pytest.approx(5.0, rel=0.1)


def test_a_burst_is_of_one_model() -> None:
    starts = draw(Traffic(starts_per_hour=0.01, bursts=Bursts(starts=5, over="1m")), duration="4000d")
    mixed = [burst for burst in _bursts(starts) if len(set(burst)) > 1]
    # Two of them may fall into one hour.
    assert len(mixed) < 0.01 * len(starts)


def test_the_starts_of_a_burst_are_spread() -> None:
    starts = draw(Traffic(starts_per_hour=0.1, bursts=Bursts(starts=5, over="10m")), duration="4000d")
    gaps = np.diff(starts.seconds)
    assert gaps[gaps < 3600.0].mean() == pytest.approx(120.0, rel=0.1)


def test_a_flash_crowd_comes_on_top() -> None:
    traffic = Traffic(starts_per_hour=50)
    crowd = FlashCrowd(at="2h", model="m19", starts=300, over="30m")
    plain, crowded = draw(traffic), draw(msgspec.structs.replace(traffic, flash_crowds=(crowd,)))
    assert len(crowded) == len(plain) + 300
    assert counts(crowded, 7200.0, 9000.0)[19] == counts(plain, 7200.0, 9000.0)[19] + 300
    assert set(plain.seconds) <= set(crowded.seconds)


def test_of_a_crowd_none_comes_after_the_end() -> None:
    crowd = FlashCrowd(at="1h", model="m0", starts=1000, over="1h")
    starts = draw(Traffic(starts_per_hour=0.001, flash_crowds=(crowd,)), duration="90m")
    assert len(starts) == pytest.approx(500, abs=60)
    assert starts.seconds[-1] < 5400.0


def test_a_release_replaces_each_model_once() -> None:
    starts = draw(Traffic(starts_per_hour=1, releases=(Release(at="2h", over="1h"),)))
    assert sorted(one.model for one in starts.replacements) == list(range(MODELS))
    assert all(7200.0 <= one.seconds <= 10_800.0 for one in starts.replacements)
    assert [one.seconds for one in starts.replacements] == sorted(one.seconds for one in starts.replacements)


def test_a_release_may_be_of_some_models() -> None:
    starts = draw(Traffic(starts_per_hour=1, releases=(Release(at="2h", models=("m3", "m5")),)))
    assert sorted(one.model for one in starts.replacements) == [3, 5]


def test_two_releases_replace_it_twice() -> None:
    releases = (Release(at="2h", models=("m3",)), Release(at="5h", models=("m3",)))
    starts = draw(Traffic(starts_per_hour=1, releases=releases))
    assert [one.model for one in starts.replacements] == [3, 3]


def test_no_release_comes_after_the_end() -> None:
    starts = draw(Traffic(starts_per_hour=1, releases=(Release(at="2h", over="2h"),)), duration="3h")
    assert 0 < len(starts.replacements) < MODELS
    assert all(one.seconds < 10_800.0 for one in starts.replacements)


def test_a_request_in_time_finds_the_instance() -> None:
    seconds, models, lifetimes = sessions(np.array([0.0, 10.0, 25.0]), np.zeros(3, dtype=np.int64), 15.0)
    assert (list(seconds), list(models)) == ([0.0], [0])
    assert list(lifetimes) == [25.0 + 15.0]


def test_a_request_after_the_idle_time_starts_another() -> None:
    seconds, _, lifetimes = sessions(np.array([0.0, 10.0, 26.0]), np.zeros(3, dtype=np.int64), 15.0)
    assert list(seconds) == [0.0, 26.0]
    assert list(lifetimes) == [25.0, 15.0]


def test_each_model_has_instances_of_its_own() -> None:
    seconds, models, lifetimes = sessions(np.array([5.0, 0.0, 8.0, 2.0]), np.array([1, 0, 0, 1]), 15.0)
    assert (list(seconds), list(models), list(lifetimes)) == ([0.0, 2.0], [0, 1], [23.0, 18.0])


def test_no_requests_start_nothing() -> None:
    assert [len(column) for column in sessions(np.array([]), np.array([], dtype=np.int64), 15.0)] == [0, 0, 0]


def test_with_an_idle_time_the_starts_are_those_of_the_sessions() -> None:
    traffic = Traffic(starts_per_hour=100)
    requests, starts = draw(traffic), draw(msgspec.structs.replace(traffic, idle="10m"))
    assert len(starts) < len(requests)
    assert set(starts.seconds) <= set(requests.seconds)
    assert starts.lifetime_seconds.min() >= 600.0
