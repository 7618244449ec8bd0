"""Each invariant notices the event that breaks it, and lets the one pass that does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cachecore.ports import Allocation
from cachecore.store.layout import published_path
from cachesim.simulation.world import Mount
from cachesim.testing.bench import KEY, OTHER_KEY, OTHER_URI, STAGING, URI, Bench, entry


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_whole_download_and_its_removal_break_nothing(bench: Bench) -> None:
    bench.publish({"a": 100, "b": 50})
    bench.evict()
    assert bench.broken == []


def test_s1_a_mounted_copy_is_not_renamed_away(bench: Bench) -> None:
    bench.publish({"a": 100, "b": 50})
    bench.world.mounts[Mount("n1", "uid", published_path(KEY))] = None
    bench.evict()
    assert bench.broken == ["S1"]


def test_s1_another_copy_may_go(bench: Bench) -> None:
    bench.publish({"a": 100, "b": 50})
    bench.world.mounts[Mount("n1", "uid", published_path(OTHER_KEY))] = None
    bench.evict()
    assert bench.broken == []


def test_s2_models_and_downloads_stay_below_the_limit(bench: Bench) -> None:
    bench.run(bench.disk.allocate([Allocation(f"{STAGING}/a", 10**9 + 10**8)]))
    assert bench.broken == ["S2"]


def test_s3_downloaded_means_that_the_copy_is_there(bench: Bench) -> None:
    bench.local_model_node()
    copy = {"key": KEY, "sourceModelUri": URI, "state": "Downloaded"}
    bench.merge("localmodelnodes", "n1", {"status": {"models": [copy]}}, "status")
    assert bench.broken == ["S3"]


@pytest.mark.parametrize("sizes", [{"a": 100}, {"a": 100, "b": 49}, {"a": 100, "b": 50, "x": 1}])
def test_s4_a_copy_is_published_whole(bench: Bench, sizes: dict[str, int]) -> None:
    bench.publish(sizes)
    assert bench.broken == ["S4"]


def test_s4_a_published_copy_is_not_written(bench: Bench) -> None:
    bench.publish({"a": 100, "b": 50})
    bench.run(bench.disk.write(f"{published_path(KEY)}/a", b"x"))
    assert "S4" in bench.broken


def test_s5_one_part_is_downloaded_once_at_a_time(bench: Bench) -> None:
    bench.checkers.part_started("n1", "p", 0)
    bench.checkers.part_ended("n1", "p", 0)
    bench.checkers.part_started("n1", "p", 0)
    assert bench.broken == []
    bench.checkers.part_started("n1", "p", 0)
    assert bench.broken == ["S5"]


def test_s6_a_copy_that_a_pod_uses_is_not_evicted(bench: Bench) -> None:
    bench.publish({"a": 100, "b": 50})
    bench.pod()
    bench.run(bench.runtime.sleep(2))
    bench.evict()
    assert bench.broken == ["S6"]


def test_s6_a_pinned_copy_is_not_evicted(bench: Bench) -> None:
    bench.world.limit_bytes = 200
    bench.local_model_node(entry(pinned=True), entry(OTHER_URI))
    bench.publish({"a": 100, "b": 50})
    bench.evict()
    assert bench.broken == ["S6"]


def test_s6_nothing_is_evicted_for_nothing(bench: Bench) -> None:
    bench.local_model_node(entry())
    bench.publish({"a": 100, "b": 50})
    bench.evict()
    assert bench.broken == ["S6"]


def test_s6_a_copy_may_go_for_another_that_is_wanted(bench: Bench) -> None:
    bench.world.limit_bytes = 200
    bench.local_model_node(entry(), entry(OTHER_URI))
    bench.publish({"a": 100, "b": 50})
    bench.evict()
    assert bench.broken == []


def _drop_finalizer(bench: Bench) -> None:
    bench.merge("localmodelcaches", "iris", {"metadata": {"finalizers": None}})


def test_s7_a_finalizer_waits_for_the_data(bench: Bench) -> None:
    bench.cache()
    bench.local_model_node(entry())
    bench.publish({"a": 100, "b": 50})
    _drop_finalizer(bench)
    assert bench.broken == ["S7"]


def _replace_node(bench: Bench) -> None:
    bench.run(bench.server.delete(bench.type("nodes"), "n1"))
    bench.create("nodes", {"metadata": {"name": "n1"}})


@pytest.mark.parametrize(
    "release",
    [
        pytest.param(lambda bench: bench.evict(), id="the data has gone"),
        pytest.param(lambda bench: bench.cache("second"), id="another cache shares it"),
        pytest.param(lambda bench: bench.run(bench.server.delete(bench.type("nodes"), "n1")), id="the node has gone"),
        pytest.param(_replace_node, id="the node came back, and was not given it"),
    ],
)
def test_s7_a_finalizer_may_go_when(bench: Bench, release: Callable[[Bench], None]) -> None:
    bench.cache()
    bench.local_model_node(entry())
    bench.publish({"a": 100, "b": 50})
    release(bench)
    _drop_finalizer(bench)
    assert "S7" not in bench.broken


@pytest.mark.parametrize("path", ["", "../x", f"{KEY}/../{OTHER_KEY}"])
def test_s8_nothing_above_the_views_is_mounted(bench: Bench, path: str) -> None:
    bench.checkers.mounted(Mount("n1", "uid", path), "team-a")
    assert bench.broken == ["S8"]


def test_s8_a_cluster_cache_is_for_every_namespace(bench: Bench) -> None:
    bench.cache()
    bench.checkers.mounted(Mount("n1", "uid", published_path(KEY)), "team-a")
    assert bench.broken == []


def test_s8_a_namespace_cache_is_for_its_own_namespace(bench: Bench) -> None:
    bench.create("namespaces", {"metadata": {"name": "team-a"}})
    spec = {"sourceModelUri": URI, "modelSize": "150", "nodeGroups": ["workers"]}
    bench.create("localmodelnamespacecaches", {"metadata": {"name": "iris"}, "spec": spec}, namespace="team-a")
    bench.checkers.mounted(Mount("n1", "uid", published_path(KEY)), "team-a")
    assert bench.broken == []
    bench.checkers.mounted(Mount("n1", "uid", published_path(KEY)), "team-b")
    assert bench.broken == ["S8"]


def test_s9_status_claims_no_more_than_the_disk_holds(bench: Bench) -> None:
    bench.local_model_node()
    bench.merge("localmodelnodes", "n1", {"status": {"storage": {"used": 1}}}, "status")
    assert bench.broken == ["S9"]


def test_s9_observed_generation_never_falls(bench: Bench) -> None:
    bench.local_model_node()
    bench.merge("localmodelnodes", "n1", {"status": {"observedGeneration": 2}}, "status")
    assert bench.broken == []
    bench.merge("localmodelnodes", "n1", {"status": {"observedGeneration": 1}}, "status")
    assert bench.broken == ["S9"]


def _namespace_cache(bench: Bench) -> None:
    bench.create("namespaces", {"metadata": {"name": "team-a"}})
    spec = {"sourceModelUri": URI, "modelSize": "150", "nodeGroups": ["workers"]}
    bench.create("localmodelnamespacecaches", {"metadata": {"name": "iris"}, "spec": spec}, namespace="team-a")


def test_s8_no_pod_is_given_the_model_of_another_namespace(bench: Bench) -> None:
    _namespace_cache(bench)
    bench.pod()
    assert bench.broken == ["S8"]


def test_s8_a_pod_may_have_a_model_that_all_may_use(bench: Bench) -> None:
    _namespace_cache(bench)
    bench.cache()
    bench.pod()
    assert bench.broken == []


@pytest.mark.parametrize(("path", "broken"), [(KEY, []), ("", ["S8"]), (f"models/{KEY}", ["S8"])])
def test_s8_a_volume_shows_the_view_of_one_model(bench: Bench, path: str, broken: list[str]) -> None:
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "local": {"path": f"/var/lib/localmodel/{path}"},
        "nodeAffinity": affinity,
    }
    bench.create(
        "persistentvolumes", {"metadata": {"name": "v", "labels": {"localmodel.kserve.io/cache": "iris"}}, "spec": spec}
    )
    assert bench.broken == broken
