"""Coroutines that are run from outside their loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from cachecore.errors import DeadlineExceeded, NotFound
from cachesim.host.loop_thread import LoopThread


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread("test")
    yield thread
    thread.stop()


def test_it_answers_what_the_coroutine_answers(loop: LoopThread) -> None:
    assert loop.run(asyncio.sleep(0, "answer")) == "answer"


def test_it_raises_what_the_coroutine_raises(loop: LoopThread) -> None:
    async def fail() -> None:
        raise NotFound("not there")

    with pytest.raises(NotFound):
        loop.run(fail())


def test_one_that_takes_too_long_cleans_up_and_says_where_it_was(loop: LoopThread) -> None:
    cleaned: list[bool] = []

    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    async def work() -> None:
        try:
            await wait_for_ever()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    with pytest.raises(DeadlineExceeded, match=r"it waited in work \(line .*\) > wait_for_ever \(line .*\) > wait"):
        loop.run(work(), timeout_seconds=0.05)
    assert cleaned == [True]


def test_what_the_thread_enters_first_is_entered_in_it() -> None:
    entered: list[str] = []
    loop = LoopThread("test", enter=lambda: entered.append(threading.current_thread().name))
    loop.stop()
    assert entered == ["test"]


def test_a_thread_that_cannot_enter_is_not_left_running() -> None:
    def refuse() -> None:
        raise OSError("no namespaces here")

    before = threading.active_count()
    with pytest.raises(OSError, match="no namespaces here"):
        LoopThread("test", enter=refuse)
    assert threading.active_count() == before
