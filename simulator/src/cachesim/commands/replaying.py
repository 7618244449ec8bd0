"""`--replay`: a run in words on this terminal, event by event; all of it when the output is no terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

import simpy

from cachesim.cluster import SimulatedCluster
from cachesim.simulation.replay import HELP, Replay
from cachesim.simulation.words import Words


class Stopped(Exception):
    """The person who watched has seen enough."""


class TerminalReplay:
    """Shows the events of a cluster. `simulate` raises `Stopped` when the person stops it."""

    def __init__(self) -> None:
        self._replay: Replay | None = None

    def attach(self, cluster: SimulatedCluster) -> None:
        """An observer for `simulate`."""
        interactive = sys.stdin.isatty() and sys.stdout.isatty()
        if interactive:
            print(HELP)
        replay = self._replay = Replay(
            Words.of(cluster.scenario),
            self._guarded(print),
            ask=self._typed if interactive else None,
            stop=lambda: _stop_soon(cluster.environment),
        )
        cluster.log.observers.append(replay.observe)

    def end(self) -> None:
        if self._replay is not None:
            self._replay.end()

    def _typed(self) -> str:
        # Ctrl-D and Ctrl-C are heard here: further up they would be raised amid the simulated services.
        try:
            return input("> ")
        except (EOFError, KeyboardInterrupt):
            print()
            return "q"

    def _guarded(self, show: Callable[[str], None]) -> Callable[[str], None]:
        """A reader that has gone (`| head`) ends the run, and is no failure of the simulated services."""

        def guarded(line: str) -> None:
            try:
                show(line)
            except BrokenPipeError:
                # What is still buffered has no reader either.
                with contextlib.suppress(OSError):
                    sys.stdout.close()
                if self._replay is not None:
                    self._replay.stop()

        return guarded


def _stop_soon(environment: simpy.Environment) -> None:
    """Let the environment itself raise: an exception of an observer would be raised in the task that wrote."""

    def stop(_: simpy.Event) -> None:
        raise Stopped

    environment.timeout(0).callbacks.append(stop)
