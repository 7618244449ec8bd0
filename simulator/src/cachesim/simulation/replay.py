"""Stepping through a run in words: how far to go is decided here, without a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from cachecore.errors import InvalidInput
from cachesim.simulation.event_log import Event

HELP = "Enter: the next event; a number: that many; t SECONDS: to that time; f: to the next fault or violation; q: quit"


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How far to go before a person is asked again.

    So many events, all shown; or to a time or to trouble, where only the event that is reached is shown.
    """

    events: int = 0
    until_seconds: float | None = None
    until_trouble: bool = False
    stop: bool = False

    @property
    def skips(self) -> bool:
        return self.until_seconds is not None or self.until_trouble


def read_command(text: str) -> Pace:
    """What a person typed. Raises `InvalidInput`, which says what may be typed."""
    command = text.strip().lower()
    if command in ("", "n"):
        return Pace(events=1)
    if command == "q":
        return Pace(stop=True)
    if command == "f":
        return Pace(until_trouble=True)
    if command.isdecimal() and int(command) > 0:
        return Pace(events=int(command))
    match = re.fullmatch(r"t\s*(\d+(?:\.\d+)?)", command)
    if match is not None:
        return Pace(until_seconds=float(match[1]))
    raise InvalidInput(HELP)


def arrived(pace: Pace, event: Event) -> bool:
    """Whether this event is where a pace that skips leads to."""
    if pace.until_trouble:
        return event.kind in ("fault", "violation")
    return pace.until_seconds is not None and event.seconds >= pace.until_seconds


def line_of(event: Event, words: str) -> str:
    return f"{event.seconds:12.3f}  {words}"


class Replay:
    """An observer of the event log that tells each event, and asks how to go on.

    - describe: makes words of an event; "" for one that is no news
    - show: takes one line
    - ask: answers what a person typed; None shows everything, without a question
    - stop: called once when the person has seen enough; nothing is shown afterwards
    """

    def __init__(
        self,
        describe: Callable[[Event], str],
        show: Callable[[str], None],
        *,
        ask: Callable[[], str] | None,
        stop: Callable[[], None],
    ) -> None:
        self._describe = describe
        self._show = show
        self._ask = ask
        self._stop = stop
        self._pace = Pace()
        self._skipped = 0
        self.stopped = False

    def observe(self, event: Event) -> None:
        words = "" if self.stopped else self._describe(event)
        if not words:
            return
        if self._ask is None:
            self._show(line_of(event, words))
            return
        if self._pace.skips and not arrived(self._pace, event):
            self._skipped += 1
            return
        if self._pace.skips:
            self._tell_skipped()
            self._pace = Pace()
        # Before anything is shown the person has not been asked yet: the first event is shown at once.
        self._show(line_of(event, words))
        self._pace = msgspec.structs.replace(self._pace, events=max(0, self._pace.events - 1))
        if self._pace.events == 0:
            self._ask_for_pace(self._ask)

    def end(self) -> None:
        """The run is over."""
        if not self.stopped:
            self._tell_skipped()
            self._show("The run is over.")

    def stop(self) -> None:
        """Show nothing more, and let the run end."""
        if not self.stopped:
            self.stopped = True
            self._stop()

    def _ask_for_pace(self, ask: Callable[[], str]) -> None:
        while True:
            try:
                pace = read_command(ask())
            except InvalidInput as error:
                self._show(str(error))
                continue
            if pace.stop:
                self.stop()
            self._pace = pace
            return

    def _tell_skipped(self) -> None:
        if self._skipped:
            self._show(f"{'':12}  ({self._skipped} events passed)")
            self._skipped = 0
