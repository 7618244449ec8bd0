"""A whole plan: what is varied and searched, compared and recommended."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cachesim.planning.bound import REQUESTS_MAX
from cachesim.planning.downloads import FETCH_OVERHEAD_SECONDS
from cachesim.planning.finding import find_least, search_range
from cachesim.planning.outcome import PlanOutcome, Point, summary
from cachesim.planning.parameters import Parameters, grid
from cachesim.planning.question import Question, Told
from cachesim.planning.recommending import recommend
from cachesim.planning.replay import POD_START_SECONDS
from cachesim.planning.study import Study
from cachesim.simulation.scenario import Scenario

_COLD_START = (
    "A cold start is the time from a pod's creation until its model is in memory, over all starts, hits included: the "
    "wait for a node with room and for the copy, {start:g} s for the pod itself, the load from local disk at {rate}."
)
_DOWNLOAD = (
    "A download takes its bytes' share of the links, two round trips of {latency}, and {overhead:g} s to be noticed, "
    "verified and published."
)
_NODES = (
    "Nodes decide by the agent's own plan, with its ranking and watermarks. Pods go to nodes that hold their model, of "
    "these to the one with the fewest pods. All disks are empty at the beginning; what the cache assigns is fetched "
    "before anybody asks for it."
)
_BOUND = (
    "The best possible knows the future: for the same pods on the same nodes, no policy could have fetched less (a "
    "linear program; beyond {most:,} starts PFOO-L, which is lower still)."
)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A question, what is varied in it, and of what the least is searched ("" for nothing)."""

    question: Question
    varied: dict[str, tuple[str, ...]] = {}
    find: str = ""

    def grid(self) -> list[Parameters]:
        return grid(self.varied)

    def check(self) -> None:
        """Raises `InvalidInput` for a value that a point can't have, before anything is replayed."""
        for parameters in self.grid():
            self.question.scenario_at(parameters)
        if self.find:
            search_range(self.find, self.question.scenario)


def answer(asked: Asked, *, jobs: int, told: Told = lambda done, whole: None) -> PlanOutcome:
    """Replay all that is asked for, and make of it what a person decides by. Raises `InvalidInput`."""
    question = asked.question
    asked.check()
    study = Study(question, jobs=jobs, told=told)
    points: Sequence[Point]
    notes: list[str] = []
    if asked.find:
        searches = [find_least(study, asked.find, rest) for rest in asked.grid()]
        points = [point for found in searches for point in found]
        notes = [_least(found, asked.find) for found in searches]
    else:
        points = study.points(asked.grid())
    comparisons = study.compare([point.parameters for point in points])
    recommendation = recommend(points, comparisons, question.objectives, question.scenario_at)
    return PlanOutcome(
        scenario=question.scenario.name,
        seed=question.seed,
        points=tuple(points),
        recommendation=recommendation,
        requests=study.requests,
        wall_seconds=0.0,
        slo=tuple(one.text for one in question.objectives),
        prices=question.prices,
        comparisons=tuple(comparisons),
        assumptions=_assumptions(question),
        notes=tuple(notes),
    )


def _least(found: Sequence[Point], name: str) -> str:
    """What a search came to; the recommendation may be another point, which costs less."""
    meeting = [point for point in found if point.meets]
    if not meeting:
        return f"no {name} that was tried meets every objective"
    return f"the least {name} that meets every objective: {summary(meeting[0].parameters)}"


def _assumptions(question: Question) -> tuple[str, ...]:
    scenario = question.scenario
    nodes = scenario.nodes
    has = f"{nodes.count} nodes with a disk of {nodes.disk}, {_gpus(scenario)}, {nodes.network} each"
    asks = f"{len(scenario.models)} models, {scenario.duration}"
    return (
        f"{has}; an object store with {scenario.storage.bandwidth} for all; {asks}: where no parameter says otherwise.",
        _COLD_START.format(start=POD_START_SECONDS, rate=nodes.load_rate),
        _DOWNLOAD.format(latency=scenario.storage.latency, overhead=FETCH_OVERHEAD_SECONDS),
        _NODES,
        _BOUND.format(most=REQUESTS_MAX),
    )


def _gpus(scenario: Scenario) -> str:
    return f"{scenario.nodes.gpus} GPUs" if scenario.nodes.gpus else "GPUs for all pods"
