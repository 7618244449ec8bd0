"""Answers a question: a grid of points with common starts, replicated until the intervals are tight enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cachecore.errors import InvalidInput
from cachesim.planning.measured import Measured
from cachesim.planning.outcome import Comparison, Point
from cachesim.planning.parameters import Parameters
from cachesim.planning.points import Task, is_precise, make_point, measure_tasks
from cachesim.planning.question import Question, Told
from cachesim.planning.statistics import REPLICATIONS_MIN, paired


class Study:
    """Replays points, and remembers what each replication has measured. Points may be added as answers come."""

    def __init__(self, question: Question, *, jobs: int, told: Told = lambda done, whole: None) -> None:
        self.question = question
        self.requests = 0
        self._jobs = jobs
        self._told = told
        self._measured: dict[tuple[tuple[str, str], ...], list[Measured]] = {}
        self._done = 0

    def points(self, grid: Sequence[Parameters]) -> list[Point]:
        """Each of these points, in their order: what is known of one already is used again."""
        for replication in range(self.question.replications):
            tasks = [
                Task(point=number, parameters=parameters, replication=replication)
                for number, parameters in enumerate(grid)
                if len(self._measured.get(_identity(parameters), ())) <= replication
                and (not replication or self._is_open(parameters, grid))
            ]
            if tasks:
                self._replicate(tasks)
        return [self.point(parameters) for parameters in grid]

    def point(self, parameters: Parameters) -> Point:
        return make_point(self.question, parameters, self._measured[_identity(parameters)])

    def compare(self, grid: Sequence[Parameters]) -> list[Comparison]:
        """Each policy against the first one, all else being equal: who fetches less, and whether that can be told."""
        found = []
        groups: dict[tuple[tuple[str, str], ...], list[Parameters]] = {}
        for parameters in grid:
            groups.setdefault(_rest(parameters), []).append(parameters)
        for rest, group in groups.items():
            for other in group[1:]:
                comparison = self._compare(group[0], other, dict(rest))
                if comparison is not None:
                    found.append(comparison)
        return found

    def _compare(self, first: Parameters, second: Parameters, rest: Parameters) -> Comparison | None:
        one, other = self._measured[_identity(first)], self._measured[_identity(second)]
        # A search replicates each point for itself.
        count = min(len(one), len(other))
        one, other = one[:count], other[:count]
        difference = paired(_byte_samples(one), _byte_samples(other))
        if difference is None or difference.low is None or difference.high is None:
            return None
        return Comparison(
            parameters=rest,
            first=first["policy"],
            second=second["policy"],
            metric="bytes_fetched",
            difference=difference,
            apart=difference.low > 0 or difference.high < 0,
        )

    def _is_open(self, parameters: Parameters, grid: Sequence[Parameters]) -> bool:
        """Whether it, or one that differs from it in the policy alone, is not known well enough.

        What is compared has replayed the same.
        """
        rest = _rest(parameters)
        return not all(is_precise(self.point(other), self.question.precision) for other in grid if _rest(other) == rest)

    def _replicate(self, tasks: Sequence[Task]) -> None:
        whole = self._done + len(tasks)
        self._told(self._done, whole)
        for task, measured in measure_tasks(self.question, tasks, self._jobs):
            if not measured.starts:
                raise InvalidInput("0 requests: nothing starts in the time of the scenario")
            self._measured.setdefault(_identity(task.parameters), []).append(measured)
            self.requests += measured.starts
            self._done += 1
            self._told(self._done, whole)


def _identity(parameters: Parameters) -> tuple[tuple[str, str], ...]:
    return tuple(parameters.items())


def _rest(parameters: Parameters) -> tuple[tuple[str, str], ...]:
    return tuple(item for item in parameters.items() if item[0] != "policy")


def _byte_samples(replications: Sequence[Measured]) -> list[float]:
    if len(replications) >= REPLICATIONS_MIN:
        return [one.bytes_fetched for one in replications]
    return [float(value) for one in replications for value in np.asarray(one.slices.bytes_fetched)[1:]]
