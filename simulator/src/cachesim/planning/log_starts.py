"""From a log of real requests to the starts of pods in a scenario. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cachecore.errors import InvalidInput
from cachesim.planning.logs import RequestLog
from cachesim.planning.starts import ANYWHERE, Integers, Starts, make_starts
from cachesim.planning.traffic import sessions
from cachesim.simulation.scenario import Scenario, Traffic
from cachesim.simulation.units import duration_seconds

_SHOWN = 5
_UNKNOWN = -1


def starts_of(
    log: RequestLog, scenario: Scenario, *, free_nodes: bool = False, ignore_unknown: bool = False
) -> tuple[Starts, tuple[str, ...]]:
    """The starts that the log makes in the scenario, and in words what was taken otherwise than it is written.

    `free_nodes`: any node may take a start, whatever the log says. `ignore_unknown`: requests of models that the
    scenario doesn't have are left out. The log's own notes are not repeated. Raises `InvalidInput`.
    """
    models, notes = _models(log, scenario, ignore_unknown=ignore_unknown)
    nodes, more = _nodes(log, scenario, free_nodes=free_nodes)
    kept = models != _UNKNOWN
    if not kept.any():
        raise InvalidInput("0 requests are left: none is of a model that the scenario has")
    seconds, models, nodes, lifetimes = log.seconds[kept], models[kept], nodes[kept], log.lifetime_seconds[kept]
    notes += more
    if scenario.traffic is not None and scenario.traffic.idle is not None:
        if not np.isnan(lifetimes).all():
            notes.append("durations of the log are not used: with traffic.idle an instance runs until nobody asks")
        # An instance is of one model on one node.
        places = scenario.nodes.count + 1
        groups = models * places + (nodes - ANYWHERE)
        seconds, groups, lifetimes = sessions(seconds, groups, duration_seconds(scenario.traffic.idle))
        models, nodes = groups // places, groups % places + ANYWHERE
    else:
        lifetimes = np.where(np.isnan(lifetimes), _usual_lifetime_seconds(scenario), lifetimes)
    starts = make_starts(seconds, models, lifetimes, duration_seconds=log.duration_seconds + 1.0, nodes=nodes)
    return starts, tuple(notes)


def _usual_lifetime_seconds(scenario: Scenario) -> float:
    text = Traffic(starts_per_hour=1.0).lifetime if scenario.traffic is None else scenario.traffic.lifetime
    return duration_seconds(text)


def _models(log: RequestLog, scenario: Scenario, *, ignore_unknown: bool) -> tuple[Integers, list[str]]:
    """The scenario's model of each request."""
    indexes = {model.name: index for index, model in enumerate(scenario.models)}
    found = [indexes.get(name, indexes.get(_last_part(name), _UNKNOWN)) for name in log.model_names]
    notes = []
    for index, model in enumerate(scenario.models):
        names = [name for name, one in zip(log.model_names, found, strict=True) if one == index]
        if len(names) > 1:
            notes.append(f"taken as the one model {model.name}: {_listed(names)}")
    unknown = [place for place, one in enumerate(found) if one == _UNKNOWN]
    if unknown:
        told = _unknown(log, unknown)
        if not ignore_unknown:
            raise InvalidInput(
                f"the scenario has no model for {told}: add them to its models with their size, or leave their "
                "requests out with --ignore-unknown"
            )
        notes.append(f"left out, because the scenario has no such model: {told}")
    return np.array(found, dtype=np.int64)[log.models], notes


def _last_part(name: str) -> str:
    """The name that a URI ends in; what is no URI has none."""
    return name.rstrip("/").rsplit("/", 1)[-1] if "://" in name else ""


def _unknown(log: RequestLog, places: Sequence[int]) -> str:
    counts = np.bincount(log.models, minlength=len(log.model_names))
    ordered = sorted(places, key=lambda place: (-counts[place], log.model_names[place]))
    return _listed([f"{log.model_names[place]} ({counts[place] / len(log):.1%} of the requests)" for place in ordered])


def _listed(words: Sequence[str]) -> str:
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _nodes(log: RequestLog, scenario: Scenario, *, free_nodes: bool) -> tuple[Integers, list[str]]:
    """The scenario's node of each request."""
    if not log.node_names:
        return log.nodes, []
    if free_nodes:
        return np.full(len(log), ANYWHERE, dtype=np.int64), ["nodes of the log are not used: any may take a start"]
    there, here = log.node_names, scenario.node_names()
    if len(there) > len(here):
        raise InvalidInput(
            f"the log has {len(there)} nodes and the scenario {len(here)}: set nodes.count to {len(there)}"
        )
    if set(there) <= set(here):
        mapped = [here.index(name) for name in there]
        notes = []
    else:
        mapped = list(range(len(there)))
        pairs = [f"{one} as {other}" for one, other in zip(there, here, strict=False)]
        notes = [f"nodes of the log are taken in the order of their names: {_listed(pairs)}"]
    # The last one is what ANYWHERE, as an index, finds.
    return np.array([*mapped, ANYWHERE], dtype=np.int64)[log.nodes], notes
