"""The faults have stopped: the world must come to rest within its time, and be as it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachesim.simulation.units import duration_seconds

if TYPE_CHECKING:
    from cachesim.cluster import SimulatedCluster

STEP_SECONDS = 5.0


class Convergence:
    """Watches a cluster from its beginning; `run` lets time pass until it has converged, or says why it has not."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._within_seconds = duration_seconds(cluster.scenario.convergence.within)
        self._quiet_seconds = duration_seconds(cluster.scenario.convergence.quiet)

    def run(self, *, stop_early: bool) -> None:
        environment = self._cluster.environment
        environment.run(until=environment.now + self._quiet_seconds)
