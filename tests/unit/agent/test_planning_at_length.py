"""The plan over long, random lives of a node: what must hold whatever happens. Each seed is one life."""

from __future__ import annotations

import random

import msgspec
import pytest

from cacheagent.actions import Abandon, Evict, Fetch, Plan, Resolve
from cacheagent.planning import Capacity, Model, plan

LIMIT_BYTES = 1000


class Life:
    """A node whose plans are carried out at once, with one event in between."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.time = 0.0
        self.models = {
            f"m{number}": Model(
                key=f"m{number}",
                name=f"m{number}",
                size_bytes=self.chance.choice((50, 100, 200, 400, 700, 1200)),
                resolved=True,
                view=True,
                priority=self.chance.choice((0, 0, 0, 5)),
                pinned=self.chance.random() < 0.1,
            )
            for number in range(10)
        }

    def change(self, key: str, **fields: object) -> None:
        self.models[key] = msgspec.structs.replace(self.models[key], **fields)

    def event(self) -> None:
        """A pod starts or ends."""
        key = self.chance.choice(sorted(self.models))
        in_use = not self.models[key].in_use and self.chance.random() < 0.5
        self.change(key, in_use=in_use, value=self.time, evicted=False)

    def step(self) -> Plan:
        self.time += 1.0
        taken = sum(model.size_bytes for model in self.models.values() if model.held)
        capacity = Capacity(limit_bytes=LIMIT_BYTES, free_bytes=LIMIT_BYTES - taken)
        decided = plan(self.models.values(), capacity, slots=2, now=self.time)
        for action in decided.actions:
            match action:
                case Resolve(key):
                    self.change(key, listed=True)
                case Fetch(key):
                    self.change(key, held=True, listed=False, evicted=False)
                case Evict(key):
                    self.change(key, held=False, evicted=True)
        return decided

    def settle(self, rounds: int = 60) -> None:
        for _ in range(rounds):
            if not self.step().actions:
                return
        raise AssertionError("the plans never come to an end")

    @property
    def held_bytes(self) -> int:
        return sum(model.size_bytes for model in self.models.values() if model.held)


SEEDS = range(30)


@pytest.mark.parametrize("seed", SEEDS)
def test_at_constant_demand_the_plans_come_to_an_end(seed: int) -> None:
    life = Life(seed)
    for _ in range(40):
        life.event()
        life.settle()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_limit_holds_at_every_step(seed: int) -> None:
    life = Life(seed)
    for _ in range(100):
        life.event()
        life.step()
        assert life.held_bytes <= LIMIT_BYTES


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_in_use_or_pinned_is_never_evicted(seed: int) -> None:
    life = Life(seed)
    for _ in range(100):
        life.event()
        protected = {key for key, model in life.models.items() if model.protected}
        evicted = {action.key for action in life.step().actions if isinstance(action, (Evict, Abandon))}
        assert not evicted & protected


@pytest.mark.parametrize("seed", SEEDS)
def test_an_eviction_is_always_for_a_model_that_then_fits(seed: int) -> None:
    life = Life(seed)
    for _ in range(40):
        life.event()
        before = {key for key, model in life.models.items() if model.held}
        life.settle()
        after = {key for key, model in life.models.items() if model.held}
        if before - after:
            assert after - before


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_pod_waits_for_is_held_in_the_end_or_said_not_to_fit(seed: int) -> None:
    life = Life(seed)
    for _ in range(40):
        life.event()
        life.settle()
        for model in life.models.values():
            if model.in_use and not model.held:
                assert life.step().obstacles[model.key].never
