"""Whether a copy had to go, and whether it was the one to go."""

from __future__ import annotations

import pytest

from cachesim.simulation.victims import NEWS_SECONDS
from cachesim.testing.bench import KEY, OTHER_KEY, OTHER_URI, Bench, entry

LONG = NEWS_SECONDS + 60.0


@pytest.fixture
def bench() -> Bench:
    """Both models are held, of 150 and 60 bytes; the ledger is written now and then."""
    made = Bench()
    made.world.limit_bytes = 200
    made.local_model_node(entry(), entry(OTHER_URI))
    made.publish({"a": 100, "b": 50})
    made.publish({"c": 60}, OTHER_URI)
    return made


def use(bench: Bench, key: str) -> None:
    bench.pod(key, f"pod-{key}")
    bench.wait(LONG)
    bench.run(bench.disk.write(".localmodel/ledger", b"{}"))
    bench.delete_pod(f"pod-{key}")
    bench.wait(LONG)


def test_where_not_both_fit_the_one_that_was_used_longer_ago_may_go(bench: Bench) -> None:
    use(bench, OTHER_KEY)
    use(bench, KEY)
    bench.evict(OTHER_KEY)
    assert bench.broken == []


def test_s6_the_one_that_was_used_later_goes(bench: Bench) -> None:
    use(bench, KEY)
    use(bench, OTHER_KEY)
    bench.evict(OTHER_KEY)
    assert bench.broken == ["S6"]


def test_a_smaller_one_may_stay_where_a_larger_one_does_not_fit(bench: Bench) -> None:
    use(bench, OTHER_KEY)
    use(bench, KEY)
    bench.evict(KEY)
    assert bench.broken == []


def test_what_the_agent_may_have_forgotten_counts_for_it(bench: Bench) -> None:
    use(bench, KEY)
    bench.pod(OTHER_KEY)
    bench.delete_pod()
    bench.evict(OTHER_KEY)
    assert bench.broken == []


def test_s6_a_copy_goes_though_all_fits() -> None:
    bench = Bench()
    bench.local_model_node(entry(), entry(OTHER_URI))
    bench.publish({"a": 100, "b": 50})
    bench.evict()
    assert bench.broken == ["S6"]


def test_a_copy_may_go_when_others_fill_the_disk() -> None:
    bench = Bench()
    bench.local_model_node(entry(), entry(OTHER_URI))
    bench.publish({"a": 100, "b": 50})
    bench.disk_world.fill(full=True)
    bench.disk_world.changed("write", "other")
    bench.evict()
    assert bench.broken == []


def test_a_copy_may_go_that_a_spec_did_not_list_a_moment_ago() -> None:
    """The agent's news may be late: it acts on the spec that it knows."""
    bench = Bench()
    bench.local_model_node(entry(), entry(OTHER_URI))
    bench.publish({"a": 100, "b": 50})
    bench.merge("localmodelnodes", "n1", {"spec": {"localModels": [entry(OTHER_URI)]}})
    bench.merge("localmodelnodes", "n1", {"spec": {"localModels": [entry(), entry(OTHER_URI)]}})
    bench.evict()
    assert bench.broken == []
