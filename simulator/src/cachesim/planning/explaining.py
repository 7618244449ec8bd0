"""Why something was evicted in a replay, which later miss that caused, and what would go next.

A replay is the same each time: the first one finds the evictions that are worth a look, the second one looks at them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from cacheagent.actions import NOT_ASSIGNED, Evict
from cacheagent.planning import Model, rank
from cachesim.planning.copies import Copy, PlannedNode, Seen
from cachesim.planning.outages import make_replay
from cachesim.planning.parameters import Parameters
from cachesim.planning.played import Played
from cachesim.planning.question import Question


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A model as it ranked on the node when something was evicted. `rank` 1 is kept longest; `fate` is in words."""

    rank: int
    model: str
    size_bytes: int
    value: float
    fate: str


class Regret(msgspec.Struct, frozen=True, kw_only=True):
    """The first later start of the model that missed on the same node, and how long it waited."""

    seconds: float
    wait_seconds: float


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One eviction. `wanted_bytes` is what was to be fetched, `held_bytes` what was there, within `limit_bytes`.

    `rank` is the victim's among all that the node could keep; `candidates` are what it held or was to fetch.
    """

    seconds: float
    node: str
    model: str
    reason: str
    message: str
    size_bytes: int
    rank: int
    held_bytes: int
    wanted_bytes: int
    limit_bytes: int
    candidates: tuple[Candidate, ...]
    regret: Regret | None


class Next(msgspec.Struct, frozen=True, kw_only=True):
    """What a node would evict at the end, first to last; what is in use or pinned is not among it."""

    node: str
    models: tuple[str, ...]


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Of all evictions of a replay, those that were chosen, most regretted first."""

    evictions: int
    regretted: int
    regret_seconds: float
    explanations: tuple[Explanation, ...]
    next: tuple[Next, ...]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which evictions to explain: of a node, of a model ("" for all), so many at most."""

    node: str = ""
    model: str = ""
    count: int = 5


def explain(question: Question, parameters: Parameters, wanted: Wanted) -> Explained:
    """Replay the first replication of a point, and explain the evictions whose later misses waited longest."""
    scenario, starts = question.scenario_at(parameters), question.starts_at(parameters, 0)
    replay = make_replay(scenario, starts, question.faults)
    played = replay.run()
    regrets = _regrets(played)
    names = scenario.node_names()
    chosen = _choose(played, regrets, wanted, names)
    details: dict[int, Explanation] = {}
    counted = 0

    def look(node: int, copy: Copy, evict: Evict, seen: Seen) -> None:
        nonlocal counted
        if evict.reason == NOT_ASSIGNED:
            return
        if counted in chosen:
            details[counted] = _explanation(names[node], copy, evict, seen, regrets[counted])
        counted += 1

    make_replay(scenario, starts, question.faults, on_evicted=look).run()
    found = [one for one in regrets if one is not None]
    return Explained(
        evictions=len(regrets),
        regretted=len(found),
        regret_seconds=sum(one.wait_seconds for one in found),
        explanations=tuple(details[number] for number in chosen),
        next=tuple(_next(node, names[node.number]) for node in replay.nodes if wanted.node in ("", names[node.number])),
    )


def _regrets(played: Played) -> list[Regret | None]:
    """For each eviction, the miss that it caused. A miss is charged to the last eviction before it."""
    starts, evictions = played.starts, played.evictions
    waits = played.wait_seconds
    misses: dict[tuple[int, int], list[int]] = {}
    for missed in np.flatnonzero(~starts.hits & (starts.nodes >= 0)):
        place = (int(starts.nodes[missed]), int(starts.kinds[missed]))
        misses.setdefault(place, []).append(int(missed))
    regrets: list[Regret | None] = [None] * len(evictions.seconds)
    upcoming: dict[tuple[int, int], float] = {}
    # From the last one back, so that each knows when the same copy was evicted again.
    for number in range(len(regrets) - 1, -1, -1):
        place = (int(evictions.nodes[number]), int(evictions.kinds[number]))
        seconds = float(evictions.seconds[number])
        until = upcoming.get(place, played.duration_seconds)
        row = next((row for row in misses.get(place, ()) if seconds <= starts.created_seconds[row] < until), None)
        if row is not None:
            regrets[number] = Regret(seconds=float(starts.created_seconds[row]), wait_seconds=float(waits[row]))
        upcoming[place] = seconds
    return regrets


def _choose(played: Played, regrets: Sequence[Regret | None], wanted: Wanted, names: Sequence[str]) -> list[int]:
    rows = played.evictions
    matching = [
        number
        for number in range(len(regrets))
        if wanted.node in ("", names[int(rows.nodes[number])])
        and wanted.model in ("", played.model_names[int(played.kind_models[int(rows.kinds[number])])])
    ]

    def cost(number: int) -> float:
        regret = regrets[number]
        return -regret.wait_seconds if regret is not None else 0.0

    return sorted(matching, key=lambda number: (cost(number), number))[: wanted.count]


def _explanation(node: str, copy: Copy, evict: Evict, seen: Seen, regret: Regret | None) -> Explanation:
    ranked = sorted(seen.models, key=rank)
    kept, going = set(seen.plan.keep), {one.key for one in seen.plan.actions if isinstance(one, Evict)}
    candidates = tuple(
        Candidate(
            rank=number,
            model=model.name,
            size_bytes=model.size_bytes,
            value=model.value,
            fate=_fate(model, kept=model.key in kept, going=model.key in going),
        )
        for number, model in enumerate(ranked, 1)
        if model.held or model.key in kept
    )
    return Explanation(
        seconds=seen.now,
        node=node,
        model=copy.kind.name,
        reason=evict.reason,
        message=evict.message,
        size_bytes=copy.kind.size_bytes,
        rank=next(number for number, model in enumerate(ranked, 1) if model.key == copy.kind.key),
        held_bytes=sum(model.size_bytes for model in seen.models if model.held),
        wanted_bytes=sum(model.size_bytes for model in seen.models if model.key in kept and not model.held),
        limit_bytes=seen.capacity.limit_bytes,
        candidates=candidates,
        regret=regret,
    )


def _fate(model: Model, *, kept: bool, going: bool) -> str:
    if going:
        return "evicted"
    if not model.held:
        return "to be fetched" + (", a pod waits" if model.in_use else "")
    if model.in_use:
        return "in use"
    if model.pinned:
        return "pinned"
    return "kept" if kept else "there is room for it yet"


def _next(node: PlannedNode, name: str) -> Next:
    return Next(node=name, models=tuple(kind.name for kind in node.victims()))
