"""How long a plan takes: told before it begins, and while it goes on."""

from __future__ import annotations

import time
from typing import TextIO

from cachecore.errors import InvalidInput
from cachesim.planning.answering import Asked
from cachesim.planning.outages import make_replay
from cachesim.simulation.scenario import Scenario

# A plan that takes longer is only begun by whoever has said yes to it.
_ASK_ABOVE_SECONDS = 3600.0
_PILOT_SECONDS = 3.0
# A plan with fewer starts in all takes minutes at the most.
_STARTS_UNASKED = 300_000
# Without a terminal, progress is a line now and then.
_TOLD_SECONDS = 10.0
# A search takes about so many steps.
_SEARCH_STEPS = 9


class _Enough(Exception):
    """The pilot has seen what it needed."""


def refuse_hours(asked: Asked, *, jobs: int, ask_above_seconds: float = _ASK_ABOVE_SECONDS) -> None:
    """Raises `InvalidInput` for a plan that would take hours, with how long it would take."""
    points = len(asked.grid()) * (_SEARCH_STEPS if asked.find else 1)
    first = asked.grid()[0]
    starts = asked.question.starts_at(first, 0)
    if len(starts) * points <= _STARTS_UNASKED:
        return
    replays = points * min(asked.question.replications, 2)
    seconds = replays * _pilot_seconds(asked, asked.question.scenario_at(first)) / max(1, min(jobs, points))
    if seconds > ask_above_seconds:
        raise InvalidInput(
            f"{points} points with {len(starts):,} starts each would take about {_hours(seconds)} on {jobs} processes; "
            "ask for less, or say --yes"
        )


def _pilot_seconds(asked: Asked, scenario: Scenario) -> float:
    """How long one replay takes, from its first seconds."""
    began = time.perf_counter()
    passed = 0.0

    def watch(share: float) -> None:
        nonlocal passed
        passed = share
        if time.perf_counter() - began > _PILOT_SECONDS:
            raise _Enough

    replay = make_replay(scenario, asked.question.starts_at(asked.grid()[0], 0), asked.question.faults)
    try:
        replay.run(watch)
    except _Enough:
        replay.runtime.close()
    return (time.perf_counter() - began) / max(passed, 0.001)


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"


class Progress:
    """Replays that are done, and how long the rest will take: on one line of a terminal, or a line now and then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began_seconds = time.perf_counter()
        self._told_seconds = self._began_seconds
        self._open = False

    def __call__(self, done: int, whole: int) -> None:
        now = time.perf_counter()
        if not self._stream.isatty() and now - self._told_seconds < _TOLD_SECONDS:
            return
        self._told_seconds = now
        elapsed = now - self._began_seconds
        rest = f", about {elapsed / done * (whole - done):.0f} s to go" if done else ""
        text = f"{done} of {whole} replays{rest}"
        if self._stream.isatty():
            print(f"\r{text:<60}", end="", file=self._stream, flush=True)
            self._open = True
        else:
            print(text, file=self._stream, flush=True)

    def end(self) -> None:
        if self._open:
            print(file=self._stream)
