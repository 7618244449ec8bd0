"""One run of one scenario: let virtual time pass, let all faults stop, and see whether the world comes to rest."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator

import msgspec

from cachesim.cluster import SimulatedCluster
from cachesim.environment import Standstill
from cachesim.faults.plan import Fault
from cachesim.faults.sites import Site
from cachesim.fidelity import FidelityName
from cachesim.simulation.converging import Convergence
from cachesim.simulation.outcome import Outcome, digest_of, summarise_starts
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.units import duration_seconds
from cachesim.simulation.zones import spread_over_zones

Progress = Callable[[float, int], None]

PROGRESS_STEPS = 100
# The first cache is refused, as the webhook has not seen its group yet, and made again after this time.
USUAL_START_SECONDS = 1.0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to run a scenario, beside its seed.

    - faults: the plan; None for the scenario's own
    - checks: whether the safety invariants are looked at
    - stop_early: whether the first violation ends the run
    """

    faults: tuple[Fault, ...] | None = None
    fidelity: FidelityName = "flow"
    checks: bool = True
    stop_early: bool = False


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run's outcome, and what a person or a campaign wants to know beside it."""

    outcome: Outcome
    last_lines: tuple[str, ...]
    occasions: dict[Site, int]
    sometimes: dict[str, int]
    start_seconds: tuple[float, ...]
    hits: int


@contextlib.contextmanager
def _collected_seldom() -> Iterator[None]:
    """A world's objects live for as long as it does, and next to none of them is garbage before it is."""
    before = gc.get_threshold()
    gc.set_threshold(1_000_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@_collected_seldom()
def simulate(
    scenario: Scenario,
    seed: int,
    options: Options = Options(),
    *,
    progress: Progress | None = None,
    observe: Callable[[SimulatedCluster], None] | None = None,
) -> Run:
    """Run the scenario. `progress` is told the share of virtual time that has passed, and the events so far.

    `observe` is shown the cluster before anything happens in it.
    """
    # The wall clock is read for the report alone: nothing in the simulated world depends on it.
    began = time.perf_counter()
    cluster = SimulatedCluster(scenario, seed, options.fidelity, checks=options.checks)
    if observe is not None:
        observe(cluster)
    workload = cluster.workload()
    faults = spread_over_zones(scenario.faults if options.faults is None else options.faults, scenario.nodes)
    try:
        cluster.injector.arm(faults)
        cluster.runtime.run(cluster.start())
        convergence = Convergence(cluster)
        cluster.injector.schedule(faults)
        cluster.story().begin()
        if workload is not None:
            cluster.runtime.spawn(workload.observe(), name="workload observer")
            workload.begin()
        # A cluster that took longer to come up, because of a fault, has its whole story all the same.
        late_seconds = max(0.0, cluster.environment.now - USUAL_START_SECONDS)
        _run_until(cluster, duration_seconds(scenario.duration) + late_seconds, options, progress)
        if workload is not None:
            workload.end()
        cluster.revive()
        convergence.run(stop_early=options.stop_early)
    except Standstill as error:
        cluster.checkers.fail("crash", str(error))
    finally:
        cluster.close()
    outcome = Outcome(
        ok=not cluster.checkers.violations,
        scenario=scenario.name,
        scenario_digest=digest_of(scenario),
        seed=seed,
        events=cluster.log.events,
        virtual_seconds=round(float(cluster.environment.now), 6),
        wall_seconds=round(time.perf_counter() - began, 3),
        event_log_hash=cluster.log.hash,
        violations=tuple(cluster.checkers.violations),
        cold_starts=summarise_starts(workload.start_seconds, workload.hits) if workload else summarise_starts([], 0),
        bytes_fetched=cluster.source.bytes_served,
        evictions=cluster.evictions,
        seeds=str(seed),
        sometimes=cluster.situations.seen,
    )
    return Run(
        outcome=outcome,
        last_lines=cluster.log.last_lines,
        occasions={Site(*key): count for key, count in sorted(cluster.sites.occasions.items())},
        sometimes=cluster.situations.seen,
        start_seconds=tuple(workload.start_seconds) if workload else (),
        hits=workload.hits if workload else 0,
    )


def _run_until(cluster: SimulatedCluster, duration: float, options: Options, progress: Progress | None) -> None:
    for step in range(1, PROGRESS_STEPS + 1):
        until = duration * step / PROGRESS_STEPS
        if until > cluster.environment.now:
            cluster.environment.run(until=until)
        if progress is not None:
            progress(step / PROGRESS_STEPS, cluster.log.events)
        if options.stop_early and cluster.checkers.violations:
            return
