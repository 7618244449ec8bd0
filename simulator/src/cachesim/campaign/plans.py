"""Fault plans that nobody wrote: every fault at every write site, and faults at random."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from cachesim.faults.kinds import KINDS, Scope, What
from cachesim.faults.plan import Fault, ordinal
from cachesim.faults.sites import API_VERBS, Site
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.units import duration_seconds

# What an exhaustive campaign does at each write site.
AT_WRITES: tuple[What, ...] = ("crash-before", "crash-after", "error", "delay", "stale")
_LOOKS = ("list_directory", "find")
_CRASHES: tuple[What, ...] = ("crash-before", "crash-after")
# Writes that repeat themselves by the clock: what they do at one occasion they do at the next.
_CLOCKWORK = ("Lease/", "Event")
# Only the API server answers so.
_OF_THE_API: tuple[What, ...] = ("conflict", "too-many-requests")
_CALLS = tuple(what for what, kind in KINDS.items() if kind.scope is Scope.CALL)
_OTHERS = tuple(what for what, kind in KINDS.items() if kind.scope is not Scope.CALL)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a campaign: its seed, and what goes wrong in it."""

    seed: int
    faults: tuple[Fault, ...]


def exhaustive(occasions: Mapping[Site, int], seed: int) -> Iterator[Plan]:
    """Each fault at the first occasion of each write site of a run that went well, a crash at the last one, too.

    And an error at the first occasion of each look at a disk or a source: what it should have shown is not known.
    """
    for site, count in occasions.items():
        if site.verb in _LOOKS:
            yield Plan(seed=seed, faults=(Fault(when=ordinal(1), where=str(site), what="error"),))
        if not site.writes or site.subject.startswith(_CLOCKWORK):
            continue
        for what in AT_WRITES:
            for occasion in sorted({1, count} if what in _CRASHES else {1}):
                yield Plan(seed=seed, faults=(Fault(when=ordinal(occasion), where=str(site), what=what),))


def drawn(scenario: Scenario, occasions: Mapping[Site, int], seed: int) -> Plan:
    """One to three faults: at sites that a run that went well has come to, or at a time."""
    chance = random.Random(f"plan/{seed}")
    count = chance.choice((1, 2, 2, 3))
    return Plan(seed=seed, faults=tuple(_draw(scenario, occasions, chance) for _ in range(count)))


def _draw(scenario: Scenario, occasions: Mapping[Site, int], chance: random.Random) -> Fault:
    what = chance.choice(_CALLS if chance.random() < 0.5 else _OTHERS)
    kind = KINDS[what]
    if kind.scope is Scope.CALL or chance.random() < 0.4:
        site = _draw_site(occasions, what, chance)
        fault = Fault(when=ordinal(chance.randint(1, min(occasions[site], 20))), where=str(site), what=what)
    else:
        at_seconds = chance.uniform(1.0, duration_seconds(scenario.duration))
        fault = Fault(when=f"{at_seconds:.3f}s", where=_target(scenario, kind.scope, chance), what=what)
    return _detailed(fault, scenario, chance)


def _draw_site(occasions: Mapping[Site, int], what: What, chance: random.Random) -> Site:
    """The verb first, so that the few renames are struck as often as the many statuses; reads one time in five."""
    reads = KINDS[what].reads and chance.random() < 0.2
    by_verb: dict[str, list[Site]] = {}
    for site in occasions:
        if site.writes is not reads and site.subject != "Event":
            by_verb.setdefault(site.verb, []).append(site)
    verbs = [verb for verb in by_verb if what not in _OF_THE_API or verb in API_VERBS]
    return chance.choice(by_verb[chance.choice(verbs)])


def _target(scenario: Scenario, scope: Scope, chance: random.Random) -> str:
    if scope is Scope.NODE:
        return chance.choice(scenario.node_names())
    if scope is Scope.MANAGER:
        return chance.choice(scenario.manager_names())
    return ""


def _detailed(fault: Fault, scenario: Scenario, chance: random.Random) -> Fault:
    changes: dict[str, str] = {}
    if fault.kind.lasting_seconds and chance.random() < 0.5:
        changes["lasting"] = f"{fault.kind.lasting_seconds * chance.choice((0.2, 0.5, 2.0)):g}s"
    if fault.what in ("node-lost", "node-deleted", "power-loss"):
        changes["disk"] = chance.choice(("kept", "kept", "wiped", "swapped"))
    if fault.what in ("object-changed", "copy-lost", "copy-damaged"):
        changes["model"] = chance.choice([model.name for model in scenario.models])
    return msgspec.structs.replace(fault, **changes)


def planned(faults: Sequence[Fault] | None, scenario: Scenario, seed: int) -> Plan:
    """The plan of a file, or the scenario's own faults."""
    return Plan(seed=seed, faults=scenario.faults if faults is None else tuple(faults))
