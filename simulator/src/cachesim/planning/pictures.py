"""What the page draws of one replay: distributions, and how it went over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cachesim.faults.plan import Fault
from cachesim.planning.outages import make_replay
from cachesim.planning.outcome import Picture, Series, Wave
from cachesim.planning.parameters import Parameters
from cachesim.planning.played import Played
from cachesim.planning.question import Question
from cachesim.planning.starts import Floats, Starts
from cachesim.simulation.scenario import Scenario, Traffic
from cachesim.simulation.units import duration_seconds

_STEPS = 120
_CURVE_POINTS = 60
_HEAT_MOMENTS = 6
_HEAT_NODES_MAX = 40
_HEAT_MODELS_MAX = 60


def draw(question: Question, parameters: Parameters) -> Picture:
    """Replay the first replication of a point once more, and draw it."""
    scenario = question.scenario_at(parameters)
    starts = question.starts_at(parameters, 0)
    played = make_replay(scenario, starts, question.faults).run()
    waits = np.sort(played.wait_seconds)
    shares = np.linspace(0.0, 1.0, _CURVE_POINTS + 1)[1:]
    bins = np.quantile(waits, shares) if len(waits) else np.zeros(0)
    nodes, models = _busiest(played)
    moments = (np.arange(_HEAT_MOMENTS) + 0.5) * played.duration_seconds / _HEAT_MOMENTS
    mean, most = _disk_used(played)
    return Picture(
        parameters=parameters,
        cold_start_bins=_tuple(bins),
        cold_starts=_tuple(shares) if len(waits) else (),
        waits=_series(played, _percentiles(played)),
        starts=_series(played, _counted(played.starts.created_seconds, played)),
        egress=_series(played, _egress(played)),
        disk_used_mean=_series(played, mean),
        disk_used_max=_series(played, most),
        heat_seconds=_tuple(moments),
        heat_nodes=tuple(f"node-{number + 1}" for number in nodes),
        heat_models=tuple(played.model_names[model] for model in models),
        heat=tuple(_heat(played, nodes, models, number) for number in range(_HEAT_MOMENTS)),
        waves=_waves(question.faults, scenario, starts),
    )


def _edges(played: Played) -> Floats:
    return np.linspace(0.0, played.duration_seconds, _STEPS + 1)


def _series(played: Played, values: Floats) -> Series:
    return Series(step_seconds=played.duration_seconds / _STEPS, values=_tuple(values))


def _tuple(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)


def _counted(seconds: Floats, played: Played) -> Floats:
    return np.histogram(seconds, _edges(played))[0].astype(np.float64)


def _percentiles(played: Played) -> Floats:
    """The p99 of the starts of each step; 0 where there were none."""
    slots = np.minimum(played.starts.created_seconds / played.duration_seconds * _STEPS, _STEPS - 1).astype(np.int64)
    order = np.argsort(slots, kind="stable")
    parts = np.split(played.wait_seconds[order], np.searchsorted(slots[order], np.arange(1, _STEPS)))
    return np.asarray([float(np.percentile(part, 99)) if len(part) else 0.0 for part in parts])


def _egress(played: Played) -> Floats:
    """Bytes per second, each transfer spread evenly over the time that it took."""
    edges = _edges(played)
    rows = played.fetches
    lasting = np.maximum(rows.end_seconds - rows.begin_seconds, 1e-9)
    moved = np.zeros(len(edges))
    for index, edge in enumerate(edges):
        shares = np.clip((edge - rows.begin_seconds) / lasting, 0.0, 1.0)
        moved[index] = float((shares * rows.moved_bytes).sum())
    return np.diff(moved) / (played.duration_seconds / _STEPS)


def _disk_used(played: Played) -> tuple[Floats, Floats]:
    """The mean and the most of the nodes, as shares of the limit, at the end of each step."""
    rows = played.holdings
    sizes = played.kind_bytes[rows.kinds].astype(np.float64) if len(rows.kinds) else np.zeros(0)
    mean, most = np.zeros(_STEPS), np.zeros(_STEPS)
    for index, edge in enumerate(_edges(played)[1:]):
        there = (rows.begin_seconds < edge) & (rows.end_seconds >= edge)
        used = np.bincount(rows.nodes[there], weights=sizes[there], minlength=played.nodes) / played.limit_bytes
        mean[index], most[index] = used.mean(), used.max()
    return mean, most


def _busiest(played: Played) -> tuple[list[int], list[int]]:
    """The nodes that fetched most, in their order; the models that were asked for most, most first."""
    fetched = np.bincount(played.fetches.nodes, weights=played.fetches.moved_bytes, minlength=played.nodes)
    nodes = sorted(int(node) for node in np.argsort(-fetched, kind="stable")[:_HEAT_NODES_MAX])
    asked = np.bincount(played.starts.models, minlength=len(played.model_names))
    models = [int(model) for model in np.argsort(-asked, kind="stable")[:_HEAT_MODELS_MAX]]
    return nodes, models


def _heat(played: Played, nodes: Sequence[int], models: Sequence[int], moment: int) -> tuple[tuple[float, ...], ...]:
    """The share of a stretch of time for which each node held each model, whatever its version."""
    low = moment * played.duration_seconds / _HEAT_MOMENTS
    high = low + played.duration_seconds / _HEAT_MOMENTS
    rows = played.holdings
    overlap = np.clip(np.minimum(rows.end_seconds, high) - np.maximum(rows.begin_seconds, low), 0.0, None)
    table = np.zeros((played.nodes, len(played.model_names)))
    np.add.at(table, (rows.nodes, played.kind_models[rows.kinds]), overlap / (high - low))
    cells = np.minimum(table[np.ix_(nodes, models)], 1.0)
    return tuple(tuple(round(float(value), 3) for value in row) for row in cells)


def _waves(faults: Sequence[Fault], scenario: Scenario, starts: Starts) -> tuple[Wave, ...]:
    waves = [Wave(seconds=fault.at_seconds, words=fault.words()) for fault in faults]
    traffic = scenario.traffic or Traffic(starts_per_hour=1.0)
    if starts.replacements:
        waves += [
            Wave(
                seconds=duration_seconds(release.at),
                words=f"{', '.join(release.models) or 'every model'} replaced by a new version within {release.over}",
            )
            for release in traffic.releases
        ]
    waves += [
        Wave(
            seconds=duration_seconds(crowd.at), words=f"{crowd.starts} more starts of {crowd.model} within {crowd.over}"
        )
        for crowd in traffic.flash_crowds
    ]
    return tuple(sorted(waves, key=lambda wave: wave.seconds))
