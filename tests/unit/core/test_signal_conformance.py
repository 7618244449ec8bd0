"""What production code may rely on in the signals of any `Runtime`: each test runs in real and in virtual time.

Real time is kept to milliseconds: no test compares durations closer than the order of what happens.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest

from cachecore.ports import Runtime

TICK_SECONDS = 0.002

Scenario: TypeAlias = Callable[[Runtime], Coroutine[Any, Any, Any]]
Execute: TypeAlias = Callable[[Scenario], Any]


def test_waiters_of_one_signal_wake_in_the_order_of_waiting(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> list[str]:
        log: list[str] = []
        signal = runtime.signal()

        async def work(name: str) -> None:
            await signal.wait()
            log.append(name)

        tasks = [runtime.spawn(work(name), name=name) for name in ("a", "b", "c")]
        await runtime.sleep(0)
        signal.set()
        for task in tasks:
            await task.join()
        return log

    assert execute(scenario) == ["a", "b", "c"]


def test_a_signal_that_is_set_is_waited_for_in_no_time(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> tuple[bool, bool, list[str]]:
        log: list[str] = []

        async def other() -> None:
            log.append("other")

        task = runtime.spawn(other(), name="other")
        signal = runtime.signal()
        signal.set()
        outcome = (await signal.wait(), await signal.wait(0.0), list(log))
        await task.join()
        return outcome

    assert execute(scenario) == (True, True, [])


def test_a_signal_stays_set_until_it_is_cleared(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> list[bool]:
        signal = runtime.signal()
        states = [signal.is_set()]
        signal.set()
        await signal.wait()
        states.append(signal.is_set())
        signal.clear()
        states.append(signal.is_set())
        states.append(await signal.wait(TICK_SECONDS))
        return states

    assert execute(scenario) == [False, True, False, False]


def test_a_waiter_wakes_although_the_signal_was_cleared_right_after(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> bool:
        signal = runtime.signal()
        waiter = runtime.spawn(signal.wait(), name="waiter")
        await runtime.sleep(0)
        signal.set()
        signal.clear()
        return await waiter.join()

    assert execute(scenario) is True


@pytest.mark.parametrize("timeout_seconds", [TICK_SECONDS, 0.0, -1.0])
def test_a_wait_ends_with_its_timeout(execute: Execute, timeout_seconds: float) -> None:
    async def scenario(runtime: Runtime) -> bool:
        return await runtime.signal().wait(timeout_seconds)

    assert execute(scenario) is False


def test_a_signal_before_the_timeout_answers_true(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> bool:
        signal = runtime.signal()
        waiter = runtime.spawn(signal.wait(60.0), name="waiter")
        await runtime.sleep(TICK_SECONDS)
        signal.set()
        return await waiter.join()

    assert execute(scenario) is True


def test_a_timeout_of_an_earlier_wait_does_not_end_a_later_one(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> bool:
        first, second = runtime.signal(), runtime.signal()

        async def work() -> bool:
            await first.wait(3 * TICK_SECONDS)
            return await second.wait()

        worker = runtime.spawn(work(), name="worker")
        await runtime.sleep(0)
        first.set()
        await runtime.sleep(6 * TICK_SECONDS)
        waited = not worker.done()
        second.set()
        return waited and await worker.join()

    assert execute(scenario) is True
