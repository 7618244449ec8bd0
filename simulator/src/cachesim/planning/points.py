"""One point of a plan: replays, on as many cores as there are, and what their measurements come to."""

from __future__ import annotations

import math
import multiprocessing
import signal
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np

from cachesim.planning.bound import bound
from cachesim.planning.measured import Measured, measure
from cachesim.planning.outages import make_replay
from cachesim.planning.outcome import ColdStartSeconds, Interval, Point
from cachesim.planning.parameters import Parameters
from cachesim.planning.prices import cost_of
from cachesim.planning.question import Question
from cachesim.planning.statistics import interval, samples_of
from cachesim.simulation.scenario import Scenario


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One replay of one point. The same task measures the same, in any process."""

    point: int
    parameters: Parameters
    replication: int


# What a worker works on, told to it once.
_asked: list[Question] = []


def measure_task(question: Question, task: Task) -> Measured:
    """Replay once, and hold the outcome against the best possible."""
    scenario = question.scenario_at(task.parameters)
    starts = question.starts_at(task.parameters, task.replication)
    played = make_replay(scenario, starts, question.faults).run()
    return measure(played, bound(played), _gpus(scenario))


def measure_tasks(question: Question, tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Measured]]:
    """Each task's measurements, as they come. Whoever stops iterating stops the workers."""
    if min(jobs, len(tasks)) <= 1:
        for task in tasks:
            yield task, measure_task(question, task)
        return
    # Not forked: numpy has threads of its own.
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(tasks)), _ready_worker, (question,)) as pool:
        yield from pool.imap_unordered(_run_task, tasks, chunksize=1)


def _ready_worker(question: Question) -> None:
    # Ctrl-C is the parent's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _asked[:] = [question]


def _run_task(task: Task) -> tuple[Task, Measured]:
    return task, measure_task(_asked[0], task)


def make_point(question: Question, parameters: Parameters, replications: Sequence[Measured]) -> Point:
    """A point from its replications, in the order of their numbers."""
    waits = np.concatenate([one.wait_seconds for one in replications])
    p50, p95, p99 = (float(value) for value in np.percentile(waits, (50, 95, 99))) if len(waits) else (0.0,) * 3
    intervals = {
        "cold_start_p99": _interval(p99, replications, "p99_seconds"),
        "hit_ratio": _interval(_share(replications, "hits", "starts"), replications, "hit_ratio"),
        "bytes_fetched": _interval(_mean(replications, "bytes_fetched"), replications, "bytes_fetched"),
        "ratio_to_bound": interval(
            _ratio(_mean(replications, "bytes_fetched"), _mean(replications, "bound_bytes")) or 1.0,
            [ratio for one in replications if (ratio := _ratio(one.bytes_fetched, one.bound_bytes)) is not None],
        ),
    }
    cost = None
    if question.prices:
        cost = cost_of(
            question.prices,
            question.scenario_at(parameters),
            fetched_bytes=_mean(replications, "bytes_fetched"),
            gpu_wait_seconds=_mean(replications, "gpu_wait_seconds"),
        )
    p99_interval = intervals["cold_start_p99"]
    ci95 = None if p99_interval.low is None or p99_interval.high is None else (p99_interval.low, p99_interval.high)
    point = Point(
        parameters=parameters,
        cold_start_seconds=ColdStartSeconds(p50=p50, p95=p95, p99=p99, ci95=ci95),
        hit_ratio=intervals["hit_ratio"].value,
        byte_hit_ratio=_share(replications, "hit_bytes", "asked_bytes"),
        bytes_fetched=_mean(replications, "bytes_fetched"),
        prefetched_bytes=_mean(replications, "prefetched_bytes"),
        bound_bytes=_mean(replications, "bound_bytes"),
        ratio_to_bound=_ratio(_mean(replications, "bytes_fetched"), _mean(replications, "bound_bytes")),
        misses=_mean(replications, "misses"),
        bound_misses=_mean(replications, "bound_misses"),
        miss_ratio_to_bound=_ratio(_mean(replications, "misses"), _mean(replications, "bound_misses")),
        evictions=_mean(replications, "evictions"),
        unready=_mean(replications, "unready"),
        starts=_mean(replications, "starts"),
        replications=len(replications),
        intervals=intervals,
        cost=cost,
    )
    if question.objectives:
        point = msgspec.structs.replace(point, meets=all(one.holds(point) for one in question.objectives))
    return point


def is_precise(point: Point, precision: float) -> bool:
    """Whether the interval of its p99 is tight enough. One that can't be told is not."""
    found = point.intervals["cold_start_p99"]
    if found.low is None or found.high is None:
        return False
    return (found.high - found.low) / 2 <= precision * max(found.value, 1e-9)


def _interval(value: float, replications: Sequence[Measured], metric: str) -> Interval:
    slices: list[Sequence[float]] = [getattr(one.slices, metric) for one in replications]
    whole = [float(np.nanmean(row)) for row in slices if not all(map(math.isnan, row))]
    samples = samples_of(whole, slices)
    if metric == "bytes_fetched" and len(replications) < 3 and samples:
        # The samples are of slices, the value is of the whole.
        samples = [sample * len(slices[0]) for sample in samples]
    elif metric == "bytes_fetched":
        samples = [one.bytes_fetched for one in replications]
    return interval(value, samples)


def _mean(replications: Sequence[Measured], field: str) -> float:
    return float(np.mean([float(getattr(one, field)) for one in replications]))


def _share(replications: Iterable[Measured], part: str, whole: str) -> float:
    ones = list(replications)
    total = sum(float(getattr(one, whole)) for one in ones)
    return sum(float(getattr(one, part)) for one in ones) / total if total else 0.0


def _ratio(value: float, best: float) -> float | None:
    return value / best if best else None


def _gpus(scenario: Scenario) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray([float(model.gpus) for model in scenario.models])
