"""What is asked of a plan, whole: the same question has the same answer, wherever it is asked."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cachesim.faults.plan import Fault
from cachesim.planning.parameters import Parameters, apply
from cachesim.planning.slo import Objective
from cachesim.planning.starts import Starts
from cachesim.planning.traffic import draw_starts
from cachesim.simulation.scenario import Scenario, Traffic


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario, what replays in it, and what to make of it.

    - log_starts: the starts of a log, which every replication would replay alike; None to draw them by lot
    - precision: how wide an interval may be on each side, relative to its value, before replications go on
    """

    scenario: Scenario
    seed: int
    log_starts: Starts | None = None
    faults: tuple[Fault, ...] = ()
    objectives: tuple[Objective, ...] = ()
    prices: dict[str, float] = {}
    replications_max: int = 5
    precision: float = 0.1

    def scenario_at(self, parameters: Parameters) -> Scenario:
        return apply(self.scenario, parameters)

    def starts_at(self, parameters: Parameters, replication: int) -> Starts:
        """What is replayed: the same for all points whose parameters leave the traffic alone."""
        if self.log_starts is not None:
            return self.log_starts
        scenario = self.scenario_at(parameters)
        return draw_starts(scenario, scenario.traffic or Traffic(starts_per_hour=1.0), self.seed + replication)

    @property
    def replications(self) -> int:
        return 1 if self.log_starts is not None else self.replications_max


# Told how many replays are done and how many there will be, as far as that is known.
Told = Callable[[int, int], None]
