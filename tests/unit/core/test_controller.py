from __future__ import annotations

import random

import pytest
from prometheus_client import CollectorRegistry

from cachecore.controller.controller import Controller, Result
from cachecore.controller.metrics import ControllerMetrics
from cachecore.controller.queue import Backoff, WorkQueue
from cachecore.errors import ApiUnavailable, TooManyRequests
from cachecore.testing import VirtualRuntime


class Recorder:
    """Notes (time, key) of each reconcile; takes `seconds`; fails with `errors`, one after the other."""

    def __init__(self, runtime: VirtualRuntime, *, seconds: float = 0.0) -> None:
        self.runtime = runtime
        self.seconds = seconds
        self.calls: list[tuple[float, str]] = []
        self.errors: list[Exception] = []
        self.result = Result()
        self.running: list[str] = []
        self.most_running = 0

    async def reconcile(self, request: str) -> Result:
        assert request not in self.running
        self.calls.append((self.runtime.monotonic(), request))
        self.running.append(request)
        self.most_running = max(self.most_running, len(self.running))
        await self.runtime.sleep(self.seconds)
        self.running.remove(request)
        if self.errors:
            raise self.errors.pop(0)
        return self.result


def test_many_requests_for_one_key_are_one_reconcile() -> None:
    runtime = VirtualRuntime()
    recorder = Recorder(runtime)
    controller = Controller(runtime, "test", recorder)

    async def main() -> None:
        for _ in range(10):
            controller.enqueue("a")
        runtime.spawn(controller.run(), name="controller")
        await runtime.sleep(1)

    runtime.run(main())
    assert recorder.calls == [(0.0, "a")]


def test_a_key_that_changes_during_its_reconcile_is_reconciled_once_more_after_it() -> None:
    runtime = VirtualRuntime()
    recorder = Recorder(runtime, seconds=10.0)
    controller = Controller(runtime, "test", recorder, workers=4)

    async def main() -> None:
        runtime.spawn(controller.run(), name="controller")
        controller.enqueue("a")
        await runtime.sleep(5)
        controller.enqueue("a")
        controller.enqueue("a")
        await runtime.sleep(60)

    runtime.run(main())
    assert recorder.calls == [(0.0, "a"), (10.0, "a")]


def test_workers_run_different_keys_at_a_time() -> None:
    runtime = VirtualRuntime()
    recorder = Recorder(runtime, seconds=1.0)
    controller = Controller(runtime, "test", recorder, workers=3)

    async def main() -> None:
        runtime.spawn(controller.run(), name="controller")
        for key in "abcdef":
            controller.enqueue(key)
        await runtime.sleep(10)

    runtime.run(main())
    assert recorder.most_running == 3
    assert [key for _, key in recorder.calls] == list("abcdef")


def test_a_delayed_request_keeps_the_earliest_of_its_times() -> None:
    runtime = VirtualRuntime()
    recorder = Recorder(runtime)
    controller = Controller(runtime, "test", recorder)

    async def main() -> None:
        runtime.spawn(controller.run(), name="controller")
        for delay_seconds in (30.0, 10.0, 20.0):
            controller.enqueue("a", delay_seconds=delay_seconds)
        await runtime.sleep(100)

    runtime.run(main())
    assert recorder.calls == [(10.0, "a")]


def test_a_result_asks_for_the_next_reconcile() -> None:
    runtime = VirtualRuntime()
    recorder = Recorder(runtime)
    recorder.result = Result(requeue_after_seconds=20.0)
    controller = Controller(runtime, "test", recorder)

    async def main() -> None:
        runtime.spawn(controller.run(), name="controller")
        controller.enqueue("a")
        await runtime.sleep(50)

    runtime.run(main())
    assert [time for time, _ in recorder.calls] == [0.0, 20.0, 40.0]


def test_a_failed_reconcile_is_retried_ever_more_slowly_and_forgets_when_it_succeeds() -> None:
    runtime = VirtualRuntime()
    recorder = Recorder(runtime)
    recorder.errors = [ApiUnavailable("away")] * 3
    controller = Controller(runtime, "test", recorder, backoff=Backoff(base_seconds=1.0, jitter=0.0))

    async def main() -> None:
        runtime.spawn(controller.run(), name="controller")
        controller.enqueue("a")
        await runtime.sleep(100)
        recorder.errors = [ApiUnavailable("away")]
        controller.enqueue("a")
        await runtime.sleep(100)

    runtime.run(main())
    assert [time for time, _ in recorder.calls] == [0.0, 1.0, 3.0, 7.0, 100.0, 101.0]


def test_a_429_is_not_retried_before_its_time() -> None:
    runtime = VirtualRuntime()
    recorder = Recorder(runtime)
    recorder.errors = [TooManyRequests("slow down", retry_after_seconds=30.0)]
    controller = Controller(runtime, "test", recorder)

    async def main() -> None:
        runtime.spawn(controller.run(), name="controller")
        controller.enqueue("a")
        await runtime.sleep(100)

    runtime.run(main())
    assert [time for time, _ in recorder.calls] == [0.0, 30.0]


def test_a_bug_in_one_reconcile_is_logged_with_its_traceback_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runtime = VirtualRuntime()
    recorder = Recorder(runtime)
    recorder.errors = [ZeroDivisionError("a bug")]
    controller = Controller(runtime, "test", recorder)

    async def main() -> None:
        runtime.spawn(controller.run(), name="controller")
        controller.enqueue("a")
        controller.enqueue("b")
        await runtime.sleep(0.1)

    runtime.run(main())
    assert [key for _, key in recorder.calls] == ["a", "b"]
    assert "Traceback" in caplog.text


def test_metrics_count_results_and_measure_with_the_runtimes_clock() -> None:
    runtime = VirtualRuntime()
    registry = CollectorRegistry()
    recorder = Recorder(runtime, seconds=3.0)
    recorder.errors = [ApiUnavailable("away")]
    controller = Controller(runtime, "test", recorder, metrics=ControllerMetrics(registry))

    async def main() -> None:
        runtime.spawn(controller.run(), name="controller")
        controller.enqueue("a")
        await runtime.sleep(20)

    runtime.run(main())
    labels = {"controller": "test"}
    reconciles = "localmodel_controller_reconcile_total"
    assert registry.get_sample_value(reconciles, {**labels, "result": "success"}) == 1
    assert registry.get_sample_value(reconciles, {**labels, "result": "error"}) == 1
    assert registry.get_sample_value("localmodel_controller_reconcile_duration_seconds_sum", labels) == 6.0
    assert registry.get_sample_value("localmodel_controller_queue_depth", labels) == 0


def test_a_cancelled_reconcile_gives_its_key_back() -> None:
    runtime = VirtualRuntime()
    recorder = Recorder(runtime, seconds=10.0)
    controller = Controller(runtime, "test", recorder)

    async def main() -> bool:
        task = runtime.spawn(controller.run(), name="controller")
        controller.enqueue("a")
        await runtime.sleep(1)
        task.cancel()
        await runtime.sleep(1)
        return controller.idle

    assert runtime.run(main())


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1.0), (2, 2.0), (5, 16.0), (6, 20.0), (5000, 20.0)])
def test_backoff_doubles_up_to_its_maximum(attempt: int, seconds: float) -> None:
    backoff = Backoff(base_seconds=1.0, max_seconds=20.0, jitter=0.0)
    assert backoff.delay_seconds(attempt, random.Random(0)) == seconds


def test_jitter_stays_within_its_share() -> None:
    backoff = Backoff(base_seconds=10.0, jitter=0.2)
    chance = random.Random(0)
    delays = [backoff.delay_seconds(1, chance) for _ in range(100)]
    assert min(delays) >= 8.0
    assert max(delays) <= 12.0
    assert max(delays) - min(delays) > 3.0


def test_a_key_added_while_delayed_is_ready_now_and_again_later() -> None:
    runtime = VirtualRuntime()
    queue: WorkQueue[str] = WorkQueue(runtime)

    async def main() -> list[tuple[float, str]]:
        taken = []
        queue.add_after("a", 10.0)
        queue.add("a")
        for _ in range(2):
            key = await queue.get()
            taken.append((runtime.monotonic(), key))
            queue.done(key)
        return taken

    assert runtime.run(main()) == [(0.0, "a"), (10.0, "a")]
