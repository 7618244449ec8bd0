"""A campaign: its plans, their results summed up, its failures shrunk."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from cachesim.campaign.plans import Plan, drawn, exhaustive, planned
from cachesim.campaign.runner import Result, run_plan, run_plans
from cachesim.campaign.shrinking import shrink
from cachesim.faults.plan import Fault
from cachesim.faults.sites import Site
from cachesim.fidelity import FidelityName
from cachesim.simulation.outcome import Failure, Outcome, digest_of, summarise_starts
from cachesim.simulation.run import simulate
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.seeds import SeedRange, seed_ranges
from cachesim.sometimes.names import SITUATIONS

FaultsOf: TypeAlias = Literal["random", "exhaustive"] | tuple[Fault, ...] | None

# A smaller campaign can't have seen everything: that it missed something says nothing.
SOMETIMES_PLANS = 500
# More failures than these are told, and not shrunk: the first ones are what to look at.
SHRUNK_FAILURES = 3


def make_plans(scenario: Scenario, seeds: SeedRange, faults: FaultsOf) -> list[Plan]:
    """Every run of the campaign. For plans at sites one run without faults shows which sites there are."""
    numbers = range(seeds.first, seeds.last + 1)
    if faults == "exhaustive":
        return [plan for seed in numbers for plan in exhaustive(_occasions(scenario, seed), seed)]
    if faults == "random":
        occasions = _occasions(scenario, 1)
        return [drawn(scenario, occasions, seed) for seed in numbers]
    return [planned(faults, scenario, seed) for seed in numbers]


def _occasions(scenario: Scenario, seed: int) -> dict[Site, int]:
    return simulate(msgspec.structs.replace(scenario, faults=()), seed).occasions


class Tally:
    """What the results that have come so far add up to."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._hashes: dict[int, str] = {}
        self._starts: list[float] = []
        self._hits = 0
        self._totals: Counter[str] = Counter()
        self._virtual_seconds = 0.0
        self._seeds: set[int] = set()
        self.sometimes: Counter[str] = Counter()
        self.failed: list[Result] = []

    @property
    def plans(self) -> int:
        return len(self._hashes)

    def add(self, result: Result) -> None:
        self._hashes[result.number] = result.event_log_hash
        self._starts += result.start_seconds
        self._hits += result.hits
        self._totals.update(events=result.events, bytes_fetched=result.bytes_fetched, evictions=result.evictions)
        self._virtual_seconds += result.virtual_seconds
        self._seeds.add(result.plan.seed)
        self.sometimes.update(result.sometimes)
        if result.violations:
            self.failed.append(result)

    @property
    def missed(self) -> tuple[str, ...]:
        """What the scenario says that a campaign must have seen, and this one has not."""
        wanted = SITUATIONS if self._scenario.sometimes == "all" else self._scenario.sometimes
        return tuple(name for name in wanted if not self.sometimes[name])

    @property
    def ok(self) -> bool:
        return not self.failed and not (self.missed and self.plans >= SOMETIMES_PLANS)

    def outcome(self, failures: Sequence[Failure], wall_seconds: float) -> Outcome:
        hashes = "".join(f"{number} {self._hashes[number]}\n" for number in sorted(self._hashes))
        ranges = seed_ranges(self._seeds)
        return Outcome(
            ok=self.ok,
            scenario=self._scenario.name,
            scenario_digest=digest_of(self._scenario),
            seed=min(self._seeds, default=0),
            seeds=",".join(str(one) for one in ranges),
            events=self._totals["events"],
            virtual_seconds=round(self._virtual_seconds, 6),
            wall_seconds=round(wall_seconds, 3),
            event_log_hash=f"sha256:{hashlib.sha256(hashes.encode()).hexdigest()}",
            violations=tuple(violation for result in self.failed for violation in result.violations),
            cold_starts=summarise_starts(self._starts, self._hits),
            bytes_fetched=self._totals["bytes_fetched"],
            evictions=self._totals["evictions"],
            plans=self.plans,
            sometimes={name: self.sometimes[name] for name in sorted(self.sometimes)},
            missed=self.missed,
            failures=tuple(failures),
        )


def run_campaign(
    scenario: Scenario,
    plans: Sequence[Plan],
    *,
    jobs: int,
    fidelity: FidelityName = "flow",
    told: Callable[[Tally, float], None] = lambda tally, seconds: None,
    shrink_failures: int = SHRUNK_FAILURES,
) -> Outcome:
    """Run the plans. `told` what they add up to so far, and in how many seconds, after each.

    `KeyboardInterrupt` keeps what is done, and shrinks nothing more: whoever sent it may not wait for that.
    """
    began = time.perf_counter()
    tally = Tally(scenario)
    results = run_plans(scenario, plans, jobs=jobs, fidelity=fidelity)
    try:
        for result in results:
            tally.add(result)
            told(tally, time.perf_counter() - began)
    except KeyboardInterrupt:
        results.close()
        shrink_failures = 0
    tally.failed.sort(key=lambda result: result.number)
    failures = [shrunk(scenario, result) for result in tally.failed[:shrink_failures]]
    failures += [told_only(result) for result in tally.failed[shrink_failures:]]
    return tally.outcome(failures, time.perf_counter() - began)


def shrunk(scenario: Scenario, result: Result) -> Failure:
    """The failure with the smallest scenario that breaks the same invariant."""
    invariant = result.violations[0].invariant

    def fails(candidate: Scenario) -> bool:
        again = run_plan(candidate, Plan(seed=result.plan.seed, faults=candidate.faults))
        return any(violation.invariant == invariant for violation in again.violations)

    smallest = shrink(scenario, result.plan, fails)
    return msgspec.structs.replace(told_only(result), shrunk=_as_json(smallest))


def told_only(result: Result) -> Failure:
    violation = result.violations[0]
    return Failure(
        seed=result.plan.seed,
        invariant=violation.invariant,
        message=violation.message,
        plan=[_as_json(fault) for fault in result.plan.faults],
        shrunk={},
    )


def _as_json(section: Scenario | Fault) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(section)
    return plain
