"""Fault plans that nobody wrote: every fault at every write site, and faults at random."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from cachesim.faults.kinds import KINDS, Scope, What
from cachesim.faults.plan import Fault, ordinal
from cachesim.faults.sites import Site
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.units import duration_seconds

# What an exhaustive campaign does at each write site.
AT_WRITES: tuple[What, ...] = ("crash-before", "crash-after", "error", "delay", "stale")
# Writes that repeat themselves by the clock: what they do at one occasion they do at the next.
_CLOCKWORK = ("Lease/", "Event")
# Faults that nothing sees or that need a model, drawn less often than the rest.
_FAULTS_MAX = 3


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a campaign: its seed, and what goes wrong in it."""

    seed: int
    faults: tuple[Fault, ...]


def exhaustive(occasions: Mapping[Site, int], seed: int) -> Iterator[Plan]:
    """Each fault at the first and the last occasion of each write site of a run that went well."""
    for site, count in occasions.items():
        if not site.writes or site.subject.startswith(_CLOCKWORK):
            continue
        for occasion in sorted({1, count}):
            for what in AT_WRITES:
                yield Plan(seed=seed, faults=(Fault(when=ordinal(occasion), where=str(site), what=what),))


def drawn(scenario: Scenario, occasions: Mapping[Site, int], seed: int) -> Plan:
    """One to three faults: at sites that a run that went well has come to, or at a time."""
    chance = random.Random(f"plan/{seed}")
    count = chance.choice((1, 2, 2, 3))
    return Plan(seed=seed, faults=tuple(_draw(scenario, occasions, chance) for _ in range(count)))


def _draw(scenario: Scenario, occasions: Mapping[Site, int], chance: random.Random) -> Fault:
    what = chance.choice(tuple(KINDS))
    kind = KINDS[what]
    if kind.scope is Scope.CALL or chance.random() < 0.4:
        site = chance.choice(_sites(occasions, reads=kind.reads))
        fault = Fault(when=ordinal(chance.randint(1, min(occasions[site], 20))), where=str(site), what=what)
    else:
        at_seconds = chance.uniform(1.0, duration_seconds(scenario.duration))
        fault = Fault(when=f"{at_seconds:.3f}s", where=_target(scenario, kind.scope, chance), what=what)
    return _detailed(fault, scenario, chance)


def _sites(occasions: Mapping[Site, int], *, reads: bool) -> list[Site]:
    """Writes are where most can go wrong: reads come in for one in five."""
    writes = [site for site in occasions if site.writes and not site.subject.startswith("Event")]
    others = [site for site in occasions if not site.writes]
    return [*writes, *others[:: max(1, 5 * len(others) // max(1, len(writes)))]] if reads else writes


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
