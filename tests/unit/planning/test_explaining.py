"""Why something was evicted: cases small enough to be worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.planning.explaining import Explained, Wanted, explain
from cachesim.planning.question import Question
from cachesim.planning.starts import Replacement, Starts
from cachesim.planning.traffic import draw_starts
from cachesim.simulation.scenario import Model, Scenario, Traffic

GB = 10**9


def ask(scenario: Scenario, starts: Starts, **wanted: Any) -> Explained:
    return explain(Question(scenario=scenario, seed=1, log_starts=starts), {}, Wanted(**wanted))


def story(plan: Any, **wanted: Any) -> Explained:
    """Of three models of which two fit, b is used before a: c drives it out at 400, and at 500 it is missed."""
    starts = plan.starts((100, 0), (200, 1), (300, 0), (400, 2), (500, 1), lifetime=1.0)
    return ask(plan.scenario("4G", "4G", "4G", limit="10G"), starts, **wanted)


def test_the_most_regretted_eviction_comes_first(plan: Any) -> None:
    found = story(plan).explanations[0]
    assert (found.node, found.model, found.seconds) == ("node-1", "b", 400.0)
    assert found.reason == "LeastRecentlyUsed"
    assert "room is needed for c" in found.message


def test_the_regret_is_the_next_miss_and_its_wait(plan: Any) -> None:
    regret = story(plan).explanations[0].regret
    assert regret is not None
    assert regret.seconds == 500.0
    assert regret.wait_seconds == pytest.approx(plan.fetch_seconds + 4.0 + 4.0)


def test_candidates_are_ranked_with_what_became_of_them(plan: Any) -> None:
    found = story(plan).explanations[0]
    assert [(one.rank, one.model, one.fate) for one in found.candidates] == [
        (1, "c", "to be fetched, a pod waits"),
        (2, "a", "kept"),
        (3, "b", "evicted"),
    ]
    assert found.rank == 3
    # With LRU a value is when it was last used; the end of a pod is a use.
    assert found.candidates[1].value > found.candidates[2].value > 200.0


def test_bytes_are_told_beside_the_limit(plan: Any) -> None:
    found = story(plan).explanations[0]
    sizes = (found.size_bytes, found.held_bytes, found.wanted_bytes, found.limit_bytes)
    assert sizes == (4 * GB, 8 * GB, 4 * GB, 10 * GB)


def test_one_that_nobody_missed_has_no_regret(plan: Any) -> None:
    last = max(story(plan).explanations, key=lambda one: one.seconds)
    assert (last.model, last.seconds, last.regret) == ("a", 500.0, None)


def test_what_would_go_next_is_what_was_used_longest_ago(plan: Any) -> None:
    (found,) = story(plan).next
    assert (found.node, found.models) == ("node-1", ("c", "b"))


def test_what_is_in_use_or_pinned_stays_and_would_not_go_next(plan: Any) -> None:
    pinned = Model(name="pinned", size="2G", pinned=True)
    starts = plan.starts((100, 1), (200, 2), (300, 3), lifetime=[5000.0, 1.0, 1.0])
    found = ask(plan.scenario(pinned, "2G", "2G", "2G", limit="7G"), starts)
    last = max(found.explanations, key=lambda one: one.seconds)
    fates = {one.model: one.fate for one in last.candidates}
    assert fates == {"pinned": "pinned", "b": "in use", "c": "evicted", "d": "to be fetched, a pod waits"}
    assert found.next[0].models == ("d",)


def test_a_miss_is_charged_to_the_last_eviction_before_it(plan: Any) -> None:
    # Two models of which one fits take turns: each eviction has the regret of the very next turn.
    starts = plan.starts((100, 0), (200, 1), (300, 0), (400, 1), lifetime=1.0)
    found = ask(plan.scenario("6G", "6G", limit="10G"), starts)
    regrets = {one.seconds: one.regret.seconds for one in found.explanations if one.regret is not None}
    assert (regrets[200.0], regrets[300.0]) == (300.0, 400.0)
    assert 400.0 not in regrets


@pytest.mark.parametrize(
    "wanted, models", [({"model": "b"}, {"b"}), ({"model": "a"}, {"a"}), ({"node": "node-2"}, set())]
)
def test_some_may_be_asked_for(plan: Any, wanted: dict[str, str], models: set[str]) -> None:
    assert {one.model for one in story(plan, **wanted).explanations} == models


def test_so_many_are_explained(plan: Any) -> None:
    found = story(plan, count=1)
    assert [one.model for one in found.explanations] == ["b"]
    assert found.evictions > 1


def test_an_old_version_that_goes_is_nothing_to_explain(plan: Any) -> None:
    starts = plan.starts((100, 0), replacements=[Replacement(seconds=200.0, model=0)])
    found = ask(plan.scenario("4G"), starts)
    assert (found.evictions, found.explanations, found.regret_seconds) == (0, (), 0)


def _busy(plan: Any) -> tuple[Scenario, Starts]:
    scenario = plan.scenario(*["3G", "4G", "2G", "5G"] * 3, nodes=3, limit="14G", duration="3h")
    return scenario, draw_starts(scenario, Traffic(starts_per_hour=60, zipf=0.8, lifetime="5m"), 1)


def test_all_evictions_of_the_replay_are_counted(plan: Any) -> None:
    scenario, starts = _busy(plan)
    played = plan.play(scenario, starts)
    found = ask(scenario, starts, count=10_000)
    rows = zip(played.evictions.seconds, played.evictions.nodes, played.evictions.kinds, strict=True)
    names = {(float(seconds), f"node-{node + 1}", played.model_names[kind]) for seconds, node, kind in rows}
    assert found.evictions == len(found.explanations) == len(played.evictions.seconds) > 10
    assert {(one.seconds, one.node, one.model) for one in found.explanations} == names


def test_regrets_are_counted_and_added_up(plan: Any) -> None:
    found = ask(*_busy(plan), count=10_000)
    regrets = [one.regret.wait_seconds for one in found.explanations if one.regret is not None]
    assert found.regretted == len(regrets)
    assert found.regret_seconds == pytest.approx(sum(regrets))
    assert regrets == sorted(regrets, reverse=True)


def test_a_node_may_be_asked_for(plan: Any) -> None:
    found = ask(*_busy(plan), node="node-2", count=10_000)
    assert {one.node for one in found.explanations} == {"node-2"}
    assert [one.node for one in found.next] == ["node-2"]


def test_every_victim_is_among_the_candidates_as_evicted(plan: Any) -> None:
    for one in ask(*_busy(plan), count=10_000).explanations:
        assert ("evicted", one.rank) in {
            (other.fate, other.rank) for other in one.candidates if other.model == one.model
        }
