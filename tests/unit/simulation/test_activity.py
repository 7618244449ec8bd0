"""What counts as a write, what as a loop, and what as no backoff."""

from __future__ import annotations

import pytest

from cachesim.simulation.activity import EVICTIONS_MAX, Activity, Turnover
from cachesim.simulation.attempts import LISTINGS_MAX, PART_MOVES_MAX, SETTLE_SECONDS, Attempts
from cachesim.testing.bench import KEY, URI, Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def activity(bench: Bench) -> Activity:
    activity = Activity(bench.world.now)
    bench.server.store.listen(activity.api_changed)
    bench.disk_world.observers.append(lambda event: activity.disk_changed("n1", event))
    bench.wait(10)
    return activity


def test_a_write_ends_the_quiet(bench: Bench, activity: Activity) -> None:
    before = activity.quiet_since
    bench.cache()
    assert activity.quiet_since == pytest.approx(before + 10, abs=1)
    assert activity.writes(before) == ["added localmodelcaches iris"]


def test_a_change_of_a_disk_ends_the_quiet(bench: Bench, activity: Activity) -> None:
    before = activity.quiet_since
    bench.run(bench.disk.write("x", b"1"))
    assert activity.writes(before) == ["n1: write x"]


@pytest.mark.parametrize("field", ["lastHeartbeatTime", "message"])
def test_a_heartbeat_is_no_write(bench: Bench, activity: Activity, field: str) -> None:
    _heartbeat(bench, field, "first")
    before = activity.quiet_since
    bench.wait(10)
    _heartbeat(bench, field, "second")
    assert activity.quiet_since == before


def _heartbeat(bench: Bench, field: str, value: str) -> None:
    condition = {"type": "Ready", "status": "True", field: value}
    bench.merge("nodes", "n1", {"status": {"conditions": [condition]}}, "status")


def test_a_label_of_a_node_is_a_write(bench: Bench, activity: Activity) -> None:
    before = activity.quiet_since
    bench.merge("nodes", "n1", {"metadata": {"labels": {"a": "b"}}})
    assert activity.quiet_since > before


def test_the_same_write_is_told_once(activity: Activity) -> None:
    for _ in range(3):
        activity.requested("manager-1", "patch", "Node/n1")
    assert activity.writes(0.0) == ["manager-1: patch Node/n1, 3 times"]


def _loop(bench: Bench, times: int) -> None:
    for _ in range(times):
        bench.publish({"a": 100, "b": 50})
        bench.evict()
        bench.run(bench.disk.remove_tree(f".localmodel/trash/{KEY}"))


def test_l7_a_copy_that_comes_and_goes_is_a_loop(bench: Bench) -> None:
    turnover = Turnover(bench.checkers.fail)
    bench.disk_world.observers.append(lambda event: turnover.disk_changed("n1", event))
    _loop(bench, EVICTIONS_MAX + 1)
    assert bench.broken == []
    turnover.healed()
    _loop(bench, EVICTIONS_MAX)
    assert bench.broken == []
    _loop(bench, 1)
    assert bench.broken == ["L7"]


@pytest.fixture
def attempts(bench: Bench) -> Attempts:
    attempts = Attempts(bench.world, bench.checkers.fail)
    bench.server.store.listen(attempts.api_changed)
    bench.disk_world.observers.append(lambda event: attempts.disk_changed("n1", event))
    return attempts


def _ask(attempts: Attempts) -> None:
    attempts.requested("agent/n1", "find", "source/iris")


def test_l6_without_a_backoff_a_source_is_asked_too_often(bench: Bench, attempts: Attempts) -> None:
    for _ in range(LISTINGS_MAX):
        _ask(attempts)
    assert bench.broken == []
    _ask(attempts)
    assert bench.broken == ["L6"]


def test_l6_with_time_between_them_attempts_may_be_many(bench: Bench, attempts: Attempts) -> None:
    for _ in range(2 * LISTINGS_MAX):
        _ask(attempts)
        bench.wait(5)
    assert bench.broken == []


def test_l6_without_a_backoff_a_part_is_asked_for_too_often(bench: Bench, attempts: Attempts) -> None:
    for _ in range(PART_MOVES_MAX + 1):
        attempts.part_started("n1", "p", 0)
    assert bench.broken == ["L6"]


def _count(bench: Bench, attempts: int) -> None:
    copy = {"key": KEY, "sourceModelUri": URI, "state": "DownloadError", "attempts": attempts}
    bench.merge("localmodelnodes", "n1", {"status": {"models": [copy]}}, "status")


def test_l6_attempts_are_counted_anew_after_a_success(bench: Bench, attempts: Attempts) -> None:
    bench.local_model_node()
    for count in (1, 2, 3):
        _ask(attempts)
        _count(bench, count)
    bench.publish({"a": 100, "b": 50})
    _loop_out(bench)
    _ask(attempts)
    _count(bench, 1)
    assert bench.broken == []
    _count(bench, 4)
    assert bench.broken == ["L6"]


def _loop_out(bench: Bench) -> None:
    bench.wait(SETTLE_SECONDS + 1)
    bench.evict()
