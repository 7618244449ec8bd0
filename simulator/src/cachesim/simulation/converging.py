"""The faults have stopped: the world must come to rest within its time, and be as it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachesim.disk import DiskEvent
from cachesim.faults.sites import API_WRITES
from cachesim.simulation.activity import Activity, Turnover
from cachesim.simulation.assignments import Assignments
from cachesim.simulation.attempts import Attempts
from cachesim.simulation.claim_deletions import ClaimDeletions
from cachesim.simulation.liveness import Past, Problem, liveness_problems
from cachesim.simulation.units import duration_seconds

if TYPE_CHECKING:
    from cachesim.cluster import SimulatedCluster

STEP_SECONDS = 5.0
# Heartbeats, and words for people.
_NEVER_COUNTED = ("Lease", "Event")


class Convergence:
    """Watches a cluster from its beginning; `run` lets time pass until it has converged, or says why it has not."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._within_seconds = duration_seconds(cluster.scenario.convergence.within)
        self._quiet_seconds = duration_seconds(cluster.scenario.convergence.quiet)
        now = cluster.runtime.monotonic
        self.activity = Activity(now)
        self._turnover = Turnover(cluster.checkers.fail)
        self._attempts = Attempts(cluster.world, cluster.checkers.fail)
        self._claim_deletions = ClaimDeletions(cluster.world, cluster.checkers.fail)
        cluster.checkers.part_observers.append(self._attempts.part_started)
        cluster.server.store.listen(self.activity.api_changed)
        cluster.server.store.listen(self._attempts.api_changed)
        cluster.server.store.listen(self._claim_deletions.api_changed)
        cluster.server.store.listen(Assignments(cluster.world, cluster.checkers.fail).api_changed)
        cluster.disk_observers.append(self._disk_changed)
        cluster.sites.observers.append(self._requested)

    def run(self, *, stop_early: bool) -> None:
        """Raises nothing: what is left when the time is over becomes violations."""
        environment, checkers = self._cluster.environment, self._cluster.checkers
        self._turnover.healed()
        until = environment.now + self._within_seconds
        looked_at = -1.0
        while environment.now < until:
            environment.run(until=min(environment.now + STEP_SECONDS, until))
            if stop_early and checkers.violations:
                return
            quiet_since = self.activity.quiet_since
            # A world in which nothing was written is as it was at the last look.
            if environment.now - quiet_since >= self._quiet_seconds and quiet_since != looked_at:
                looked_at = quiet_since
                if not self._problems():
                    return
        if environment.now - self.activity.quiet_since < self._quiet_seconds:
            words = "; ".join(self.activity.writes(environment.now - self._quiet_seconds))
            checkers.fail("L5", f"the world is not at rest {self._within_seconds:.0f} s after the faults: {words}")
        for problem in self._problems():
            checkers.fail(problem.invariant, problem.message)

    def _problems(self) -> list[Problem]:
        past = Past(evicted=self._turnover.evicted, replaced=self._turnover.replaced)
        return liveness_problems(self._cluster.world, past, self._cluster.runtime.now())

    def _disk_changed(self, node: str, event: DiskEvent) -> None:
        self.activity.disk_changed(node, event)
        self._turnover.disk_changed(node, event)
        self._attempts.disk_changed(node, event)

    def _requested(self, process: str, verb: str, subject: str) -> None:
        self._attempts.requested(process, verb, subject)
        self._claim_deletions.requested(process, verb, subject)
        if verb in API_WRITES and not subject.startswith(_NEVER_COUNTED):
            self.activity.requested(process, verb, subject)
