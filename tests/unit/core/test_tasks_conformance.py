"""Groups and deadlines, which wrap coroutines in an object of their own, on every runtime."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from cachecore.errors import DeadlineExceeded, TaskCancelled
from cachecore.ports import Runtime, Task
from cachecore.tasks import TaskGroup, within

TICK_SECONDS = 0.002

Execute: TypeAlias = Callable[[Callable[[Runtime], Coroutine[Any, Any, Any]]], Any]


async def ended(task: Task[Any]) -> None:
    with contextlib.suppress(TaskCancelled):
        await task.join()


def test_a_group_joins_its_members(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> list[int]:
        log: list[int] = []

        async def work(number: int) -> int:
            await runtime.sleep(number * TICK_SECONDS)
            log.append(number)
            return number

        group = TaskGroup(runtime)
        tasks = [group.spawn(work(number), name=str(number)) for number in (3, 1)]
        await group.join()
        return [*log, *[await task.join() for task in tasks]]

    assert execute(scenario) == [1, 3, 3, 1]


def test_a_failure_cancels_the_group(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> tuple[str, bool]:
        async def fail() -> None:
            await runtime.sleep(TICK_SECONDS)
            raise ValueError("broken")

        group = TaskGroup(runtime)
        sleeper = group.spawn(runtime.sleep(60), name="sleeper")
        group.spawn(fail(), name="fail")
        try:
            await group.join()
        except ValueError as error:
            return str(error), sleeper.done()
        return "", False

    assert execute(scenario) == ("broken", True)


def test_members_cancelled_before_their_first_step_leave_no_coroutine_behind(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> bool:
        group = TaskGroup(runtime)
        task = group.spawn(runtime.sleep(60), name="sleeper")
        group.cancel()
        await group.join()
        return task.done()

    assert execute(scenario)


def test_a_deadline_ends_what_takes_too_long(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> str:
        try:
            await within(runtime, TICK_SECONDS, runtime.sleep(60))
        except DeadlineExceeded:
            return "in time" if await within(runtime, 60, on_time(runtime)) else ""
        return "no error"

    async def on_time(runtime: Runtime) -> bool:
        await runtime.sleep(TICK_SECONDS)
        return True

    assert execute(scenario) == "in time"


def test_a_cancelled_caller_takes_its_work_along(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> list[str]:
        log: list[str] = []

        async def work() -> None:
            try:
                await runtime.sleep(60)
            finally:
                log.append("ended")

        caller = runtime.spawn(within(runtime, 50.0, work()), name="caller")
        await runtime.sleep(TICK_SECONDS)
        caller.cancel()
        await ended(caller)
        return log

    assert execute(scenario) == ["ended"]


def test_a_cancelled_joiner_ends_after_the_cleaning_up_of_its_members(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> list[str]:
        log: list[str] = []

        async def member() -> None:
            try:
                await runtime.sleep(60)
            finally:
                await runtime.sleep(TICK_SECONDS)
                log.append("member")

        async def owner() -> None:
            group = TaskGroup(runtime)
            group.spawn(member(), name="member")
            try:
                await group.join()
            finally:
                log.append("owner")

        task = runtime.spawn(owner(), name="owner")
        await runtime.sleep(TICK_SECONDS)
        task.cancel()
        await ended(task)
        return log

    assert execute(scenario) == ["member", "owner"]


def test_a_cancelled_caller_ends_after_what_it_waited_for(execute: Execute) -> None:
    async def scenario(runtime: Runtime) -> list[str]:
        log: list[str] = []

        async def work() -> None:
            try:
                await runtime.sleep(60)
            finally:
                await runtime.sleep(TICK_SECONDS)
                log.append("work")

        async def caller() -> None:
            try:
                await within(runtime, 50.0, work())
            finally:
                log.append("caller")

        task = runtime.spawn(caller(), name="caller")
        await runtime.sleep(TICK_SECONDS)
        task.cancel()
        await ended(task)
        return log

    assert execute(scenario) == ["work", "caller"]
