from __future__ import annotations

import os
import signal

import pytest

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.adapters.service import run_service
from cachecore.errors import InvalidInput


def test_a_service_that_ends_well_exits_with_0() -> None:
    async def main(runtime: AsyncioRuntime) -> None:
        await runtime.sleep(0)

    assert run_service(main) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_main_which_may_clean_up(number: signal.Signals) -> None:
    log: list[str] = []

    async def main(runtime: AsyncioRuntime) -> None:
        os.kill(os.getpid(), number)
        try:
            await runtime.sleep(60)
        finally:
            await runtime.sleep(0.001)
            log.append("cleaned")

    assert run_service(main) == 0
    assert log == ["cleaned"]


def test_an_error_that_a_person_can_act_on_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    async def main(runtime: AsyncioRuntime) -> None:
        raise InvalidInput("the flag is wrong")

    assert run_service(main) == 1
    assert capsys.readouterr().err == "error: the flag is wrong\n"


def test_a_bug_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def main(runtime: AsyncioRuntime) -> None:
        raise ZeroDivisionError("a bug")

    assert run_service(main) == 1
    assert "a bug ended the service: ZeroDivisionError: a bug" in caplog.text
    assert "Traceback" in caplog.text


def test_signal_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def main(runtime: AsyncioRuntime) -> None:
        await runtime.sleep(0)

    run_service(main)
    assert signal.getsignal(signal.SIGTERM) == before
