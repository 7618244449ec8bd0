"""Runs plans, on as many cores as there are, and gathers what came of them."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import signal
from collections.abc import Generator, Iterator, Sequence

import msgspec

from cachesim.campaign.plans import Plan
from cachesim.fidelity import FidelityName
from cachesim.simulation.checkers import Violation
from cachesim.simulation.run import Options, simulate
from cachesim.simulation.scenario import Scenario


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one plan."""

    number: int
    plan: Plan
    event_log_hash: str
    events: int
    virtual_seconds: float
    violations: tuple[Violation, ...]
    start_seconds: tuple[float, ...]
    hits: int
    bytes_fetched: int
    evictions: int
    sometimes: dict[str, int]


# What a worker works on: set before the workers are forked, so that nothing is sent to them but numbers.
_scenario: Scenario
_plans: Sequence[Plan]
_fidelity: FidelityName


def run_plan(scenario: Scenario, plan: Plan, number: int = 0, fidelity: FidelityName = "flow") -> Result:
    run = simulate(scenario, plan.seed, Options(faults=plan.faults, fidelity=fidelity, stop_early=True))
    outcome = run.outcome
    return Result(
        number=number,
        plan=plan,
        event_log_hash=outcome.event_log_hash,
        events=outcome.events,
        virtual_seconds=outcome.virtual_seconds,
        violations=outcome.violations,
        start_seconds=run.start_seconds,
        hits=run.hits,
        bytes_fetched=outcome.bytes_fetched,
        evictions=outcome.evictions,
        sometimes=run.sometimes,
    )


def run_plans(
    scenario: Scenario,
    plans: Sequence[Plan],
    *,
    jobs: int,
    fidelity: FidelityName = "flow",
) -> Generator[Result, None, None]:
    """Each plan's result, as it comes. Whoever stops iterating stops the workers."""
    global _scenario, _plans, _fidelity
    _scenario, _plans, _fidelity = scenario, plans, fidelity
    yield from _results(range(len(plans)), min(jobs, len(plans)))


def _results(numbers: Sequence[int], jobs: int) -> Iterator[Result]:
    # What is loaded by now is shared by all workers, and nothing of it becomes garbage.
    gc.freeze()
    if jobs <= 1:
        yield from map(_run_number, numbers)
        return
    with multiprocessing.get_context("fork").Pool(jobs, _ready_worker) as pool:
        yield from pool.imap_unordered(_run_number, numbers, chunksize=1)


def _ready_worker() -> None:
    # Ctrl-C is the parent's to answer: it keeps what is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)


def _run_number(number: int) -> Result:
    return run_plan(_scenario, _plans[number], number, _fidelity)
