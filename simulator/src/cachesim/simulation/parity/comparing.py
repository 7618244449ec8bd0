"""One decision held against the other, step by step."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from cacheagent.decisions import NodePlanned
from cachecore.errors import LocalModelError
from cachemanager.decisions import NodeSpecified
from cachemanager.placement import place_copies
from cachemanager.placement_decisions import CachePlaced
from cachesim.simulation.parity.agent import AgentMoment
from cachesim.simulation.parity.lines import Comparable, Logged
from cachesim.simulation.parity.manager import ManagerMoment

SCHEMA = "localmodel.parity/v1"
NOTHING = "nothing"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Where two decisions part: what was decided there, and what here."""

    where: str
    time: str
    host: str
    there: str
    here: str


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """What comparing has come to. `kinds` counts what was decided there, by kind; `left_out` says what could not be."""

    schema: str = SCHEMA
    ok: bool
    decisions: int
    kinds: dict[str, int]
    differences: tuple[Difference, ...] = ()
    left_out: tuple[str, ...] = ()


class Step(msgspec.Struct, frozen=True):
    """One thing that was decided. `rest` is what no person reads, and is compared all the same."""

    kind: str
    key: str
    reason: str
    rest: str = ""

    def __str__(self) -> str:
        return " ".join(word for word in (self.kind, self.key, self.reason and f"({self.reason})", self.rest) if word)


def difference(logged: Logged) -> Difference | None:
    """The first one between the decision and the one that is made from the same here; None when they are the same."""
    there = steps(logged.decision)
    try:
        decided = decide(logged.decision)
    except LocalModelError as error:
        return _difference(logged, _words(there[:1]), f"an error: {error}")
    here = steps(decided) if decided is not None else []
    for one, other in itertools.zip_longest(there, here):
        if one != other:
            return _difference(logged, _words([one]), _words([other]))
    return None


def decide(decision: Comparable) -> Comparable | None:
    """Let the production code decide, in a simulated world as it was seen then."""
    if isinstance(decision, NodePlanned):
        return AgentMoment(decision).decide()
    if isinstance(decision, NodeSpecified):
        return ManagerMoment(decision).decide()
    # All that it takes is in the line, as the manager had it from its whole fleet: the rule itself decides.
    placement = place_copies(decision.copies, decision.size_bytes, decision.host, decision.candidates)
    return msgspec.structs.replace(decision, nodes=placement.nodes)


def steps(decision: Comparable) -> list[Step]:
    """What was decided, in its order."""
    if isinstance(decision, CachePlaced):
        # A cache that goes nowhere is a decision, too.
        places = [Step("Place", f"{decision.host} on {node}", group) for node, group in decision.nodes.items()]
        return places or [Step("Place", f"{decision.host} nowhere", "")]
    if isinstance(decision, NodePlanned):
        actions = [
            Step(
                action.kind, action.key, action.reason, f"{action.reserve_bytes} bytes" if action.reserve_bytes else ""
            )
            for action in decision.actions
        ]
        return [*actions, *(Step("Keep", key, "") for key in decision.keep)]
    entries = [Step("Hold", entry.status_key, entry.node_group, _json(entry)) for entry in decision.spec.local_models]
    return [*entries, Step("Storage", decision.host, "", _json(decision.spec.storage))]


def _json(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def _difference(logged: Logged, there: str, here: str) -> Difference:
    return Difference(where=logged.where, time=logged.time, host=logged.decision.host, there=there, here=here)


def _words(found: list[Step | None] | list[Step]) -> str:
    return next((str(step) for step in found if step is not None), NOTHING)
