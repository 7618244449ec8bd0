"""Cutting a failure down to what is needed for it: fewest faults, then workload, then nodes, then time.

Delta debugging (Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002), one dimension after
the other: what can be left out while the same invariant still breaks is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import yaml

from cachesim.campaign.plans import Plan
from cachesim.simulation.scenario import Scenario, Step
from cachesim.simulation.units import duration_seconds

T = TypeVar("T")

Fails = Callable[[Scenario], bool]


class Budget:
    """How many runs shrinking may cost; when it is spent, what has been reached is the answer."""

    def __init__(self, fails: Fails, runs: int) -> None:
        self._fails = fails
        self.rest = runs

    def fails(self, scenario: Scenario) -> bool:
        if self.rest <= 0:
            return False
        self.rest -= 1
        return self._fails(scenario)


def shrink(scenario: Scenario, plan: Plan, fails: Fails, *, runs: int = 150) -> Scenario:
    """The smallest scenario found that still fails; it carries the plan and the seed, and so replays by itself."""
    budget = Budget(fails, runs)
    failing = msgspec.structs.replace(scenario, faults=plan.faults, seed=plan.seed, sometimes=())
    for smaller in (_fewer_faults, _less_story, _fewer_models, _one_manager, _fewer_nodes, _less_time):
        failing = smaller(failing, budget)
    return failing


def _fewer_faults(scenario: Scenario, budget: Budget) -> Scenario:
    faults = minimal(scenario.faults, lambda kept: budget.fails(msgspec.structs.replace(scenario, faults=tuple(kept))))
    return msgspec.structs.replace(scenario, faults=tuple(faults))


def _less_story(scenario: Scenario, budget: Budget) -> Scenario:
    story = minimal(scenario.story, lambda kept: budget.fails(msgspec.structs.replace(scenario, story=tuple(kept))))
    smaller = msgspec.structs.replace(scenario, story=tuple(story))
    quiet = msgspec.structs.replace(smaller, traffic=None)
    return quiet if scenario.traffic is not None and budget.fails(quiet) else smaller


def _fewer_models(scenario: Scenario, budget: Budget) -> Scenario:
    def without_others(kept: Sequence[Any]) -> Scenario:
        names = {model.name for model in kept}
        story = tuple(step for step in scenario.story if not step.model or step.model in names)
        return msgspec.structs.replace(scenario, models=tuple(kept), story=story)

    models = minimal(scenario.models, lambda kept: bool(kept) and budget.fails(without_others(kept)))
    return without_others(models)


def _one_manager(scenario: Scenario, budget: Budget) -> Scenario:
    alone = msgspec.structs.replace(scenario, managers=1)
    return alone if scenario.managers > 1 and budget.fails(alone) else scenario


def _fewer_nodes(scenario: Scenario, budget: Budget) -> Scenario:
    while scenario.nodes.count > 1:
        nodes = msgspec.structs.replace(scenario.nodes, count=scenario.nodes.count - 1)
        smaller = msgspec.structs.replace(scenario, nodes=nodes)
        smaller = msgspec.structs.replace(smaller, story=_possible(smaller.story, smaller.node_names()))
        if not budget.fails(smaller):
            break
        scenario = smaller
    return scenario


def _possible(story: Sequence[Step], nodes: list[str]) -> tuple[Step, ...]:
    return tuple(step for step in story if not step.node or step.node in nodes or step.do == "add-node")


def _less_time(scenario: Scenario, budget: Budget) -> Scenario:
    seconds = duration_seconds(scenario.duration)
    times = [duration_seconds(step.at) for step in scenario.story] + [fault.at_seconds for fault in scenario.faults]
    last = max(times, default=0.0)
    for shorter in (last + 5, (last + seconds) / 2):
        smaller = msgspec.structs.replace(scenario, duration=f"{math.ceil(shorter)}s")
        if shorter < seconds and budget.fails(smaller):
            return smaller
    return scenario


def minimal(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """The least of `items`, in their order, for which `fails` still answers True (it does for all of them)."""
    kept = list(items)
    if kept and fails([]):
        return []
    size = len(kept)
    while size >= 1:
        start = 0
        while start < len(kept):
            rest = kept[:start] + kept[start + size :]
            if rest and fails(rest):
                kept = rest
            else:
                start += size
        size //= 2
    return kept


def as_yaml(scenario: Scenario) -> str:
    """The scenario as a file: what is as by default is left out."""
    whole = _plain(scenario)
    return str(yaml.safe_dump(whole, sort_keys=False, width=110, allow_unicode=True))


def _plain(section: Any) -> Any:
    if isinstance(section, msgspec.Struct):
        fields = msgspec.structs.fields(section)
        return {
            field.encode_name: _plain(getattr(section, field.name))
            for field in fields
            if field.required or getattr(section, field.name) != field.default
        }
    if isinstance(section, tuple):
        return [_plain(item) for item in section]
    return section
