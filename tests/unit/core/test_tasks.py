from __future__ import annotations

import pytest

from cachecore.errors import DeadlineExceeded, TaskCancelled
from cachecore.tasks import TaskGroup, within
from cachecore.testing import VirtualRuntime


def test_a_group_is_joined_when_all_have_ended() -> None:
    runtime = VirtualRuntime()

    async def main() -> float:
        group = TaskGroup(runtime)
        for seconds in (3.0, 1.0, 2.0):
            group.spawn(runtime.sleep(seconds), name="sleeper")
        await group.join()
        return runtime.monotonic()

    assert runtime.run(main()) == 3.0


def test_a_failure_cancels_the_others_and_is_raised() -> None:
    runtime = VirtualRuntime()
    log: list[str] = []

    async def work() -> None:
        try:
            await runtime.sleep(100)
        finally:
            log.append(f"cancelled at {runtime.monotonic():g}")

    async def fail() -> None:
        await runtime.sleep(1)
        raise ValueError("broken")

    async def main() -> None:
        group = TaskGroup(runtime)
        group.spawn(work(), name="work")
        group.spawn(fail(), name="fail")
        await group.join()

    with pytest.raises(ValueError, match="broken"):
        runtime.run(main())
    assert log == ["cancelled at 1"]


def test_the_first_of_several_failures_is_raised() -> None:
    runtime = VirtualRuntime()

    async def fail(seconds: float, message: str) -> None:
        try:
            await runtime.sleep(seconds)
        finally:
            # The second one fails while it is being cancelled.
            raise ValueError(message)

    async def main() -> None:
        group = TaskGroup(runtime)
        group.spawn(fail(5, "second"), name="slow")
        group.spawn(fail(1, "first"), name="fast")
        await group.join()

    with pytest.raises(ValueError, match="first"):
        runtime.run(main())


def test_a_group_fails_also_while_nobody_joins_it() -> None:
    runtime = VirtualRuntime()

    async def fail() -> None:
        raise ValueError("broken")

    async def main() -> None:
        group = TaskGroup(runtime)
        sleeper = group.spawn(runtime.sleep(100), name="sleeper")
        group.spawn(fail(), name="fail")
        await runtime.sleep(1)
        assert sleeper.done()
        late = group.spawn(runtime.sleep(100), name="late")
        await runtime.sleep(0)
        assert late.done()
        await group.join()

    with pytest.raises(ValueError, match="broken"):
        runtime.run(main())


def test_cancelling_the_joiner_cancels_the_members() -> None:
    runtime = VirtualRuntime()

    async def main() -> bool:
        group = TaskGroup(runtime)
        member = group.spawn(runtime.sleep(100), name="member")
        joiner = runtime.spawn(group.join(), name="joiner")
        await runtime.sleep(1)
        joiner.cancel()
        await runtime.settle()
        return member.done()

    assert runtime.run(main())


def test_a_member_that_is_cancelled_leaves_the_others_be() -> None:
    runtime = VirtualRuntime()

    async def main() -> float:
        group = TaskGroup(runtime)
        group.spawn(runtime.sleep(50), name="first").cancel()
        group.spawn(runtime.sleep(5), name="second")
        await group.join()
        return runtime.monotonic()

    assert runtime.run(main()) == 5


def test_a_member_may_spawn_more_members() -> None:
    runtime = VirtualRuntime()
    group = TaskGroup(runtime)

    async def grow(depth: int) -> None:
        await runtime.sleep(1)
        if depth:
            group.spawn(grow(depth - 1), name="grow")

    async def main() -> float:
        group.spawn(grow(4), name="grow")
        await group.join()
        return runtime.monotonic()

    assert runtime.run(main()) == 5


@pytest.mark.parametrize("who", ["joiner", "group"])
def test_what_a_member_spawns_on_its_way_out_is_cancelled_too(who: str) -> None:
    """An informer's last event may start a worker after the group has been cancelled: `join` would wait for ever."""
    runtime = VirtualRuntime()
    group = TaskGroup(runtime)

    async def informer() -> None:
        try:
            await runtime.sleep(100)
        finally:
            group.spawn(runtime.signal().wait(), name="worker")

    async def main() -> bool:
        group.spawn(informer(), name="informer")
        joiner = runtime.spawn(group.join(), name="joiner")
        await runtime.sleep(1)
        (joiner if who == "joiner" else group).cancel()
        await runtime.settle()
        return joiner.done()

    assert runtime.run(main())


def test_a_group_forgets_members_that_ended_well() -> None:
    runtime = VirtualRuntime()
    group = TaskGroup(runtime)

    async def main() -> int:
        for _ in range(100):
            group.spawn(runtime.sleep(0), name="short")
        await runtime.sleep(1)
        return len(group._tasks)

    assert runtime.run(main()) == 0


def test_within_answers_the_result() -> None:
    runtime = VirtualRuntime()

    async def work() -> int:
        await runtime.sleep(1)
        return 7

    assert runtime.run(within(runtime, 5.0, work())) == 7


def test_within_raises_when_it_takes_longer() -> None:
    runtime = VirtualRuntime()

    async def work() -> None:
        await runtime.sleep(100)

    with pytest.raises(DeadlineExceeded, match="work did not end within 5 seconds"):
        runtime.run(within(runtime, 5.0, work()))
    assert runtime.monotonic() == 5.0


def test_within_waits_for_the_cleaning_up_of_what_it_cancels() -> None:
    runtime = VirtualRuntime()
    log: list[str] = []

    async def work() -> None:
        try:
            await runtime.sleep(100)
        finally:
            await runtime.sleep(1)
            log.append("cleaned")

    async def main() -> None:
        with pytest.raises(DeadlineExceeded):
            await within(runtime, 5.0, work())
        log.append("raised")

    runtime.run(main())
    assert log == ["cleaned", "raised"]


def test_within_passes_a_failure_on() -> None:
    runtime = VirtualRuntime()

    async def work() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        runtime.run(within(runtime, 5.0, work()))


@pytest.mark.parametrize("wait_seconds", [0.0, 1.0])
def test_cancelling_the_caller_cancels_what_it_waits_for(wait_seconds: float) -> None:
    runtime = VirtualRuntime()
    log: list[str] = []

    async def work() -> None:
        await runtime.sleep(50)
        log.append("went on")

    async def main() -> None:
        caller = runtime.spawn(within(runtime, 100.0, work()), name="caller")
        await runtime.sleep(wait_seconds)
        caller.cancel()
        with pytest.raises(TaskCancelled):
            await caller.join()
        await runtime.sleep(100)

    runtime.run(main())
    assert log == []
