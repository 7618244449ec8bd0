"""What `VirtualRuntime` promises beyond the port: determinism, and failures that show."""

from __future__ import annotations

import pytest

from cachecore.testing import Deadlock, VirtualRuntime


class Crash(BaseException):
    """What a simulated crash throws."""


def test_a_year_passes_in_no_time() -> None:
    runtime = VirtualRuntime()
    runtime.run(runtime.sleep(365 * 86_400), timeout_seconds=None)
    assert runtime.monotonic() == 365 * 86_400


def test_sleepers_of_one_instant_wake_in_the_order_of_their_calls() -> None:
    runtime = VirtualRuntime()
    log: list[int] = []

    async def work(number: int) -> None:
        await runtime.sleep(1)
        log.append(number)

    async def main() -> None:
        for number in range(5):
            runtime.spawn(work(number), name=str(number))
        await runtime.sleep(2)

    runtime.run(main())
    assert log == [0, 1, 2, 3, 4]


def test_waiting_for_what_never_comes_is_a_deadlock_that_names_who_waits() -> None:
    runtime = VirtualRuntime()

    async def main() -> None:
        runtime.spawn(runtime.signal().wait(), name="waiter")
        await runtime.signal().wait()

    with pytest.raises(Deadlock, match="still waiting: main, waiter"):
        runtime.run(main())


def test_a_run_that_only_lets_time_pass_ends_at_its_timeout() -> None:
    runtime = VirtualRuntime()

    async def main() -> None:
        while True:
            await runtime.sleep(1)

    with pytest.raises(Deadlock, match="after 10 virtual seconds"):
        runtime.run(main(), timeout_seconds=10)


def test_a_failure_that_nobody_joined_is_raised_at_the_end() -> None:
    runtime = VirtualRuntime()

    async def fail() -> None:
        raise ValueError("broken")

    async def main() -> None:
        runtime.spawn(fail(), name="fail")
        await runtime.sleep(1)

    with pytest.raises(ValueError, match="broken") as caught:
        runtime.run(main())
    assert caught.value.__notes__ == ["in task fail, which nobody joined"]


def test_a_failure_that_nobody_joined_may_be_allowed() -> None:
    runtime = VirtualRuntime(strict=False)

    async def fail() -> None:
        raise ValueError("broken")

    async def main() -> int:
        runtime.spawn(fail(), name="fail")
        await runtime.sleep(1)
        return 7

    assert runtime.run(main()) == 7


def test_a_crash_passes_through_every_except_clause_of_production_code() -> None:
    runtime = VirtualRuntime()

    async def crash() -> None:
        raise Crash

    async def main() -> None:
        try:
            await crash()
        except Exception:  # noqa: BLE001
            pytest.fail("swallowed")

    with pytest.raises(Crash):
        runtime.run(main())


def test_what_is_left_at_the_end_is_cancelled_and_may_clean_up() -> None:
    runtime = VirtualRuntime()
    log: list[str] = []

    async def work(name: str) -> None:
        try:
            await runtime.sleep(100)
        finally:
            await runtime.sleep(1)
            log.append(name)

    async def main() -> None:
        for name in ("a", "b"):
            runtime.spawn(work(name), name=name)
        await runtime.sleep(1)

    runtime.run(main())
    assert log == ["a", "b"]


def test_settle_waits_for_all_that_is_due_now_and_no_longer() -> None:
    runtime = VirtualRuntime()
    log: list[str] = []

    async def chain() -> None:
        for number in range(10):
            await runtime.sleep(0)
            log.append(str(number))
        await runtime.sleep(1)
        log.append("later")

    async def main() -> int:
        runtime.spawn(chain(), name="chain")
        await runtime.settle()
        return len(log)

    assert runtime.run(main()) == 10
    assert runtime.monotonic() == 0.0


def test_the_wall_clock_may_jump_while_the_monotonic_one_goes_on() -> None:
    runtime = VirtualRuntime()

    async def main() -> tuple[float, float]:
        now, monotonic = runtime.now(), runtime.monotonic()
        runtime.clock_skew_seconds = -3600.0
        await runtime.sleep(1)
        return runtime.now() - now, runtime.monotonic() - monotonic

    assert runtime.run(main()) == (-3599.0, 1.0)


def test_time_goes_on_from_one_run_to_the_next() -> None:
    runtime = VirtualRuntime()
    runtime.run(runtime.sleep(5))
    runtime.run(runtime.sleep(5))
    assert runtime.monotonic() == 10.0


def test_waiting_outside_a_run_is_refused() -> None:
    runtime = VirtualRuntime()
    waiting = runtime.sleep(1)
    with pytest.raises(RuntimeError, match=r"VirtualRuntime\.run"):
        waiting.send(None)


def test_the_same_program_gives_the_same_trace() -> None:
    def trace() -> list[tuple[float, int]]:
        runtime = VirtualRuntime(seed=9)
        log: list[tuple[float, int]] = []

        async def work(number: int) -> None:
            for _ in range(5):
                await runtime.sleep(runtime.random.choice((0.0, 0.5, 1.0)))
                log.append((runtime.monotonic(), number))

        async def main() -> None:
            tasks = [runtime.spawn(work(number), name=str(number)) for number in range(10)]
            for task in tasks:
                await task.join()

        runtime.run(main())
        return log

    assert trace() == trace()
