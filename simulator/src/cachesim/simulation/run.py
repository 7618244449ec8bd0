"""One run of one scenario: build the cluster, let virtual time pass, sum up."""

from __future__ import annotations

import time
from collections.abc import Callable

from cachesim.cluster import SimulatedCluster
from cachesim.simulation.faults import inject
from cachesim.simulation.outcome import Outcome, summarise_starts
from cachesim.simulation.scenario import Scenario, duration_seconds

Progress = Callable[[float, int], None]

PROGRESS_STEPS = 100


def simulate(scenario: Scenario, seed: int, progress: Progress | None = None) -> tuple[Outcome, tuple[str, ...]]:
    """Run the scenario; answer what it came to, and the last lines of its event log.

    `progress` is told the share of virtual time that has passed, and the events so far.
    """
    # The wall clock is read for the report alone: nothing in the simulated world depends on it.
    began = time.perf_counter()
    cluster = SimulatedCluster(scenario, seed)
    environment = cluster.environment
    duration = duration_seconds(scenario.duration)
    try:
        cluster.runtime.run(cluster.start())
        for number, fault in enumerate(scenario.faults, 1):
            injection = inject(cluster.runtime, cluster.admin_client(), cluster, fault)
            cluster.runtime.spawn(injection, name=f"fault {number}")
        workload = cluster.workload()
        if workload is not None:
            cluster.runtime.spawn(workload.observe(), name="workload observer")
            cluster.runtime.spawn(workload.run(), name="workload")
        for step in range(1, PROGRESS_STEPS + 1):
            until = duration * step / PROGRESS_STEPS
            if until > environment.now:
                environment.run(until=until)
            if progress is not None:
                progress(step / PROGRESS_STEPS, cluster.log.events)
    finally:
        cluster.close()
    outcome = Outcome(
        ok=not cluster.checkers.violations,
        scenario=scenario.name,
        seed=seed,
        events=cluster.log.events,
        virtual_seconds=float(duration),
        wall_seconds=round(time.perf_counter() - began, 3),
        event_log_hash=cluster.log.hash,
        violations=tuple(cluster.checkers.violations),
        cold_starts=summarise_starts(workload.start_seconds, workload.hits) if workload else summarise_starts([], 0),
        bytes_fetched=cluster.source.bytes_served,
        evictions=cluster.evictions,
    )
    return outcome, cluster.log.last_lines
