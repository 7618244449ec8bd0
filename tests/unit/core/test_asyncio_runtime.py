from __future__ import annotations

import asyncio
import gc

import pytest

from cachecore.adapters import asyncio_runtime
from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.errors import TaskCancelled


def test_a_failure_that_nobody_joins_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio_runtime, "UNJOINED_GRACE_SECONDS", 0.0)

    async def fail() -> None:
        raise ValueError("broken")

    async def main() -> None:
        runtime = AsyncioRuntime()
        runtime.spawn(fail(), name="fail")
        await runtime.sleep(0.01)

    asyncio.run(main())
    assert "task fail failed and nobody waits for it: broken" in caplog.text


def test_a_failure_whose_joiner_comes_late_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("broken")

    async def main() -> None:
        runtime = AsyncioRuntime()
        task = runtime.spawn(fail(), name="fail")
        await runtime.sleep(0.005)
        with pytest.raises(ValueError, match="broken"):
            await task.join()

    asyncio.run(main())
    assert caplog.text == ""


def test_a_task_that_nobody_holds_is_not_collected() -> None:
    async def main() -> list[str]:
        runtime = AsyncioRuntime()
        log: list[str] = []
        signal = runtime.signal()

        async def work() -> None:
            await signal.wait()
            log.append("ran")

        runtime.spawn(work(), name="work")
        await runtime.sleep(0)
        gc.collect()
        signal.set()
        await runtime.sleep(0.001)
        return log

    assert asyncio.run(main()) == ["ran"]


def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    async def main() -> int:
        runtime = AsyncioRuntime()
        signal = asyncio_runtime.AsyncioSignal()
        waiter = runtime.spawn(signal.wait(60.0), name="waiter")
        await runtime.sleep(0)
        waiter.cancel()
        with pytest.raises(TaskCancelled):
            await waiter.join()
        return len(signal._waiters)

    assert asyncio.run(main()) == 0


def test_the_wall_clock_is_unix_time() -> None:
    assert AsyncioRuntime().now() > 1_700_000_000
