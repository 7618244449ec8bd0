"""SimPy's environment, which notices when no time passes any more."""

from __future__ import annotations

import simpy

# More than a fleet of a thousand nodes has ever needed at one moment.
EVENTS_AT_ONCE_MAX = 1_000_000


class Standstill(Exception):
    """Things happen again and again, and time does not pass: somebody waits for nothing in a loop."""


class Environment(simpy.Environment):
    """Raises `Standstill` from `step` and `run`: a campaign must tell of such a plan, not hang in it."""

    def __init__(self, events_at_once_max: int = EVENTS_AT_ONCE_MAX) -> None:
        super().__init__()
        self.events_at_once_max = events_at_once_max
        self._events_at_once = 0

    def step(self) -> None:
        before = self._now
        super().step()
        if self._now != before:
            self._events_at_once = 0
            return
        self._events_at_once += 1
        if self._events_at_once > self.events_at_once_max:
            # What is ended after this has as many events again.
            self._events_at_once = 0
            raise Standstill(f"{self.events_at_once_max} events, and no time passes")
