"""A run with a recorder attached, written down as a page."""

from __future__ import annotations

import pathlib

from cachecore.errors import InvalidInput
from cachesim.cluster import SimulatedCluster
from cachesim.simulation.outcome import Outcome
from cachesim.simulation.recorder import Recorder
from cachesim.simulation.report import render
from cachesim.simulation.scenario import Scenario


class Reporter:
    """Records one run: `attach` is an observer for `simulate`, `write` makes the page of it."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._recorder: Recorder | None = None
        # A slip of the pen is found before the run, which may take minutes.
        if path.is_dir() or not path.parent.is_dir():
            problem = "is a folder" if path.is_dir() else f"{path.parent} is no folder"
            raise InvalidInput(f"{path}: cannot be written: {problem}")

    def attach(self, cluster: SimulatedCluster) -> None:
        self._recorder = Recorder(cluster.scenario, cluster.world.disks)
        cluster.log.observers.append(self._recorder.observe)

    def write(self, outcome: Outcome, scenario: Scenario, command: str, last_lines: tuple[str, ...]) -> None:
        """`command` replays the run. Raises `InvalidInput` when the file can't be written."""
        if self._recorder is None:
            raise AssertionError("the reporter was attached to no run")
        timeline = self._recorder.timeline(outcome.virtual_seconds)
        self._write(render(timeline, outcome, scenario, command, last_lines))

    def _write(self, page: str) -> None:
        try:
            self._path.write_text(page, encoding="utf-8")
        except OSError as error:
            raise InvalidInput(f"{self._path}: cannot be written: {error.strerror}") from error
