"""What production code may rely on in tasks and clock of any `Runtime`: each test runs in real and in virtual time.

Real time is kept to milliseconds: no test compares durations closer than the order of what happens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest

from cachecore.errors import TaskCancelled
from cachecore.ports import Runtime, Task

TICK_SECONDS = 0.002

Scenario: TypeAlias = Callable[[Runtime], Coroutine[Any, Any, Any]]
Execute: TypeAlias = Callable[[Scenario], Any]


async def cancelled(task: Task[Any]) -> bool:
    try:
        await task.join()
    except TaskCancelled:
        return True
    return False


def test_sleep_lets_monotonic_time_pass(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> float:
        start = runtime.monotonic()
        await runtime.sleep(TICK_SECONDS)
        return runtime.monotonic() - start

    # A timer of asyncio may fire one clock tick early.
    assert execute(scenario) >= TICK_SECONDS * 0.9


def test_a_negative_sleep_yields_once(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> list[str]:
        log: list[str] = []

        async def other() -> None:
            log.append("other")

        task = runtime.spawn(other(), name="other")
        await runtime.sleep(-1.0)
        log.append("main")
        await task.join()
        return log

    assert execute(scenario) == ["other", "main"]


def test_spawned_tasks_start_in_order_and_not_before_their_spawner_waits(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> list[str]:
        log: list[str] = []

        async def work(name: str) -> None:
            log.append(name)

        tasks = [runtime.spawn(work(name), name=name) for name in ("a", "b", "c")]
        log.append("spawned")
        for task in tasks:
            await task.join()
        return log

    assert execute(scenario) == ["spawned", "a", "b", "c"]


def test_sleepers_wake_in_the_order_of_their_times(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> list[int]:
        log: list[int] = []

        async def work(ticks: int) -> None:
            await runtime.sleep(ticks * TICK_SECONDS)
            log.append(ticks)

        tasks = [runtime.spawn(work(ticks), name=str(ticks)) for ticks in (5, 1, 3)]
        for task in tasks:
            await task.join()
        return log

    assert execute(scenario) == [1, 3, 5]


def test_join_returns_the_result_any_number_of_times(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> tuple[int, int, bool]:
        async def work() -> int:
            return 7

        task = runtime.spawn(work(), name="work")
        return await task.join(), await task.join(), task.done()

    assert execute(scenario) == (7, 7, True)


def test_join_raises_the_failure_of_the_task(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> None:
        async def work() -> None:
            await runtime.sleep(0)
            raise ValueError("broken")

        await runtime.spawn(work(), name="work").join()

    with pytest.raises(ValueError, match="broken"):
        execute(scenario)


def test_join_of_a_cancelled_task_raises_task_cancelled(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> bool:
        task = runtime.spawn(runtime.sleep(60), name="sleeper")
        await runtime.sleep(0)
        task.cancel()
        return await cancelled(task)

    assert execute(scenario)


def test_a_task_cancelled_before_its_first_step_never_runs(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> tuple[bool, list[str]]:
        log: list[str] = []

        async def work() -> None:
            log.append("ran")

        task = runtime.spawn(work(), name="work")
        task.cancel()
        return await cancelled(task), log

    assert execute(scenario) == (True, [])


def test_cancel_runs_the_cleaning_up_which_may_wait(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> list[str]:
        log: list[str] = []

        async def work() -> None:
            try:
                await runtime.signal().wait()
            finally:
                await runtime.sleep(TICK_SECONDS)
                log.append("cleaned")

        task = runtime.spawn(work(), name="work")
        await runtime.sleep(0)
        task.cancel()
        await cancelled(task)
        log.append("joined")
        return log

    assert execute(scenario) == ["cleaned", "joined"]


def test_no_except_clause_for_exceptions_swallows_a_cancellation(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> bool:
        async def work() -> None:
            with contextlib.suppress(Exception):
                await runtime.sleep(60)

        task = runtime.spawn(work(), name="work")
        await runtime.sleep(0)
        task.cancel()
        return await cancelled(task)

    assert execute(scenario)


def test_cancel_after_the_end_changes_nothing(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> int:
        async def work() -> int:
            return 7

        task = runtime.spawn(work(), name="work")
        await task.join()
        task.cancel()
        return await task.join()

    assert execute(scenario) == 7


def test_two_cancellations_at_once_are_one(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> list[str]:
        log: list[str] = []

        async def work() -> None:
            try:
                await runtime.sleep(60)
            finally:
                await runtime.sleep(TICK_SECONDS)
                log.append("cleaned")

        task = runtime.spawn(work(), name="work")
        await runtime.sleep(0)
        task.cancel()
        task.cancel()
        await cancelled(task)
        return log

    assert execute(scenario) == ["cleaned"]


def test_a_cancellation_wins_over_a_signal_of_the_same_moment(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> bool:
        signal = runtime.signal()

        async def work() -> None:
            await signal.wait()

        task = runtime.spawn(work(), name="work")
        await runtime.sleep(0)
        signal.set()
        task.cancel()
        return await cancelled(task)

    assert execute(scenario)


def test_a_task_that_cancels_itself_ends_at_its_next_wait(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> tuple[bool, list[str]]:
        log: list[str] = []
        own: list[Task[None]] = []

        async def work() -> None:
            own[0].cancel()
            log.append("before")
            await runtime.sleep(0)
            log.append("after")

        own.append(runtime.spawn(work(), name="work"))
        return await cancelled(own[0]), log

    assert execute(scenario) == (True, ["before"])


def test_cancelling_the_joiner_leaves_the_joined_be(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> tuple[bool, bool, int]:
        go = runtime.signal()

        async def work() -> int:
            await go.wait()
            return 7

        worker = runtime.spawn(work(), name="worker")
        joiner = runtime.spawn(worker.join(), name="joiner")
        await runtime.sleep(0)
        joiner.cancel()
        joiner_cancelled = await cancelled(joiner)
        worker_done = worker.done()
        go.set()
        return joiner_cancelled, worker_done, await worker.join()

    assert execute(scenario) == (True, False, 7)


def test_a_joiner_learns_of_a_cancellation_and_goes_on(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> list[bool]:
        sleeper = runtime.spawn(runtime.sleep(60), name="sleeper")
        joiners = [runtime.spawn(cancelled(sleeper), name=f"joiner-{number}") for number in range(2)]
        await runtime.sleep(0)
        sleeper.cancel()
        return [await joiner.join() for joiner in joiners]

    assert execute(scenario) == [True, True]


def test_the_same_seed_gives_the_same_chances(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> list[float]:
        return [runtime.random.random() for _ in range(3)]

    assert execute(scenario) == execute(scenario)


def test_a_task_has_the_name_it_was_given(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> str:
        task = runtime.spawn(runtime.sleep(0), name="sleeper")
        await task.join()
        return task.name

    assert execute(scenario) == "sleeper"
