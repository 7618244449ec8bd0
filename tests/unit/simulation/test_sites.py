"""Sites count every call, and a plan strikes the n-th occasion of what its pattern matches."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest
import simpy

from cachecore.errors import ApiError, ApiUnavailable, Conflict, DiskFailure, DiskReadOnly, SourceThrottled
from cachesim.faults.conditions import Conditions
from cachesim.faults.gate import Gate
from cachesim.faults.kinds import What
from cachesim.faults.plan import Fault, ordinal
from cachesim.faults.sites import Site, Sites
from cachesim.faults.weather import ApiWeather, DiskWeather, StorageWeather, api_failure
from cachesim.runtime import Crashed, SimpyRuntime


class _Process:
    def __init__(self, runtime: SimpyRuntime) -> None:
        self._runtime = runtime
        self.suffered: list[str] = []
        self.stale_seconds = 0.0

    def crash(self, restart_after_seconds: float) -> None:
        self._runtime.crash()

    def go_stale(self, lasting_seconds: float) -> None:
        self.stale_seconds = lasting_seconds

    def suffer(self, fault: Fault) -> None:
        self.suffered.append(fault.what)


class _Bench:
    """One gate of the process `agent/node-1`, and a call that leaves a mark."""

    def __init__(self) -> None:
        self.environment = simpy.Environment()
        self.runtime = SimpyRuntime(self.environment, seed=1)
        self.sites = Sites()
        self.conditions = Conditions()
        self.process = _Process(self.runtime)
        self.done = 0
        weather = ApiWeather(self.runtime, self.conditions, "node-1")
        self.gate = Gate(self.runtime, self.sites, "agent/node-1", self.process, failure=api_failure, weather=weather)

    async def _work(self) -> str:
        await self.runtime.sleep(1.0)
        self.done += 1
        return "answer"

    def call(self, verb: str = "update", subject: str = "Node/node-1") -> Coroutine[Any, Any, str]:
        return self.gate.call(verb, subject, self._work)

    def strike(self, what: What, when: str = "1st", where: str = "agent/node-1 update") -> None:
        self.sites.arm(Fault(when=when, where=where, what=what))


@pytest.fixture
def bench() -> _Bench:
    return _Bench()


def test_a_call_that_nothing_strikes_is_the_call_itself(bench: _Bench) -> None:
    assert bench.runtime.run(bench.call()) == "answer"
    assert bench.sites.occasions == {("agent/node-1", "update", "Node/node-1"): 1}


def test_the_nth_occasion_is_counted_over_all_that_the_pattern_matches(bench: _Bench) -> None:
    bench.strike("error", "2nd", "agent/* update")
    assert bench.runtime.run(bench.call(subject="Node/a")) == "answer"
    with pytest.raises(ApiUnavailable):
        bench.runtime.run(bench.call(subject="Node/b"))
    assert bench.runtime.run(bench.call(subject="Node/b")) == "answer"


def test_an_error_does_nothing_and_a_lost_answer_has_done_it(bench: _Bench) -> None:
    bench.strike("error")
    bench.strike("answer-lost", "2nd")
    for expected in (0, 1):
        with pytest.raises(ApiUnavailable):
            bench.runtime.run(bench.call())
        assert bench.done == expected


def test_a_conflict_is_the_ports_own_error(bench: _Bench) -> None:
    bench.strike("conflict")
    with pytest.raises(Conflict):
        bench.runtime.run(bench.call())


@pytest.mark.parametrize("what, done", [("crash-before", 0), ("crash-after", 1)])
def test_a_crash_before_has_not_done_it_and_one_after_has(bench: _Bench, what: What, done: int) -> None:
    bench.strike(what)
    task = bench.runtime.spawn(bench.call(), name="call")
    bench.environment.run(until=5)
    assert task.done()
    assert bench.done == done
    with pytest.raises(Crashed):
        bench.runtime.check_alive()


def test_a_delay_comes_before_the_call(bench: _Bench) -> None:
    bench.sites.arm(Fault(when="1st", where="agent/node-1", what="delay", lasting="7s"))
    bench.runtime.run(bench.call())
    assert bench.environment.now == 8.0


def test_stale_news_begin_with_the_call_that_goes_on(bench: _Bench) -> None:
    bench.strike("stale")
    assert bench.runtime.run(bench.call()) == "answer"
    assert bench.process.stale_seconds == 20.0


def test_a_fault_of_a_node_is_suffered_by_the_one_that_called(bench: _Bench) -> None:
    bench.strike("disk-full")
    bench.runtime.run(bench.call())
    assert bench.process.suffered == ["disk-full"]


def test_who_is_told_of_strikes_learns_the_exact_site(bench: _Bench) -> None:
    told: list[Site] = []
    bench.sites.on_strike = lambda fault, site: told.append(site)
    bench.strike("delay", where="*")
    bench.runtime.run(bench.call("patch", "Pod/a"))
    assert told == [Site("agent/node-1", "patch", "Pod/a")]


@pytest.mark.parametrize("what", ["api-down", "api-errors"])
def test_bad_weather_refuses_calls_without_doing_them(bench: _Bench, what: What) -> None:
    bench.conditions.begin(what)
    failed = 0
    for _ in range(3):
        try:
            bench.runtime.run(bench.call())
        except ApiError:
            failed += 1
    assert failed == (3 if what == "api-down" else 1)
    assert bench.done == 3 - failed


def test_a_partition_cuts_off_its_node_alone(bench: _Bench) -> None:
    bench.conditions.begin("partition", "node-2")
    assert bench.runtime.run(bench.call()) == "answer"
    bench.conditions.begin("partition", "node-1")
    with pytest.raises(ApiUnavailable, match="timed out"):
        bench.runtime.run(bench.call())


def test_conditions_last_until_whoever_began_them_has_ended_them() -> None:
    conditions = Conditions()
    conditions.begin("api-down")
    conditions.begin("api-down")
    conditions.end("api-down")
    assert conditions.has("api-down")
    conditions.end("api-down")
    assert not conditions


def test_disks_fail_for_all_calls_and_read_only_ones_for_writes(bench: _Bench) -> None:
    conditions = Conditions()
    weather = DiskWeather(conditions, "node-1")
    conditions.begin("disk-read-only", "node-1")
    bench.runtime.run(weather.before("read"))
    with pytest.raises(DiskReadOnly):
        bench.runtime.run(weather.before("write"))
    conditions.begin("disk-failing", "node-1")
    with pytest.raises(DiskFailure):
        bench.runtime.run(weather.before("read"))


def test_a_throttled_store_refuses_every_second_request(bench: _Bench) -> None:
    conditions = Conditions()
    weather = StorageWeather(bench.runtime, conditions)
    conditions.begin("storage-throttled")
    bench.runtime.run(weather.before("move"))
    with pytest.raises(SourceThrottled):
        bench.runtime.run(weather.before("move"))


@pytest.mark.parametrize(
    "number, text", [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (22, "22nd"), (113, "113th")]
)
def test_ordinals(number: int, text: str) -> None:
    assert ordinal(number) == text
    assert Fault(when=text, where="a", what="error").occasion == number
