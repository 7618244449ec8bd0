"""What counts as a situation: faults at calls, faults at moments, and what the world shows."""

from __future__ import annotations

import pytest

from cachecore.names import MANAGER_LEASE
from cachecore.ports import Allocation
from cachecore.store.layout import published_path
from cachesim.disk import DiskEvent
from cachesim.faults.plan import Fault
from cachesim.faults.sites import Site
from cachesim.sometimes.situations import Situations
from cachesim.sometimes.strikes import STRIKES
from cachesim.testing.bench import KEY, STAGING, Bench

PUBLISH = Site("agent/node-1", "rename", "copy/llama")
EVICT = Site("agent/node-1", "rename", "trash/llama")
SPEC = Site("manager-2", "patch", "LocalModelNode/node-1")


def _seen(what: str, site: Site) -> set[str]:
    fault = Fault(when="1st", where=str(site), what=what)  # type: ignore[arg-type]
    return {name for name, strike in STRIKES.items() if strike.matches(fault.what, site)}


@pytest.mark.parametrize(
    "what, site, expected",
    [
        ("crash-after", PUBLISH, {"crash-between-rename-and-status"}),
        ("crash-before", PUBLISH, {"crash-between-manifest-and-rename"}),
        ("answer-lost", PUBLISH, {"publish-reported-as-failed"}),
        ("error", PUBLISH, {"publish-failed"}),
        ("crash-after", EVICT, {"crash-between-eviction-and-manifest"}),
        ("crash-before", EVICT, {"crash-before-eviction"}),
        ("conflict", SPEC, {"conflict-at-spec"}),
        ("crash-after", SPEC, {"manager-crash-at-spec", "answer-to-spec-lost"}),
        ("delay", SPEC, set()),
    ],
)
def test_a_fault_at_a_call_is_the_situations_that_it_makes(what: str, site: Site, expected: set[str]) -> None:
    assert _seen(what, site) == expected


@pytest.mark.parametrize("verb", ["create", "update", "update_status", "patch", "delete"])
def test_any_write_may_be_throttled(verb: str) -> None:
    assert "write-throttled" in _seen("too-many-requests", Site("manager-1", verb, "Node/node-1"))


def test_a_list_that_is_throttled_is_no_write() -> None:
    assert "write-throttled" not in _seen("too-many-requests", Site("manager-1", "list", "Node"))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_copy_that_goes_and_comes_again_has_returned(bench: Bench) -> None:
    situations = Situations(bench.world)
    copy = published_path(KEY)
    situations.disk_changed("n1", DiskEvent("rename", f"{STAGING}/files", copy))
    assert situations.seen == {}
    situations.disk_changed("n1", DiskEvent("rename", copy, f".localmodel/trash/{KEY}-1"))
    situations.disk_changed("n1", DiskEvent("rename", f"{STAGING}/files", copy))
    assert situations.seen == {"evicted-model-returned": 1}


def test_a_download_that_an_agent_finds_and_publishes_was_resumed(bench: Bench) -> None:
    bench.disk_world.write(f"{STAGING}/journal", b"")
    situations = Situations(bench.world)
    situations.process_started("agent/n1-2", "n1")
    situations.disk_changed("n1", DiskEvent("rename", f"{STAGING}/files", published_path(KEY)))
    assert situations.seen == {"download-resumed": 1}


@pytest.mark.parametrize("former_runs", [True, False])
def test_two_lead_when_the_former_leader_still_runs(bench: Bench, former_runs: bool) -> None:
    situations = Situations(bench.world)
    bench.server.store.listen(situations.api_changed)
    situations.process_started("manager-1-1", "")
    lease = {"metadata": {"name": MANAGER_LEASE}, "spec": {"holderIdentity": "manager-1-1"}}
    bench.create("leases", lease, namespace="default")
    if not former_runs:
        situations.process_stopped("manager-1-1")
    taken = bench.world.object("leases", MANAGER_LEASE, "default")
    assert taken is not None
    bench.server.store.commit(bench.type("leases"), {**taken, "spec": {"holderIdentity": "manager-2-1"}})
    assert situations.seen.get("leader-changed") == 1
    assert ("two-leaders" in situations.seen) is former_runs


def test_a_fault_counts_while_a_model_is_on_its_way(bench: Bench) -> None:
    situations = Situations(bench.world)
    expired = Fault(when="1s", what="watches-expired")
    situations.begun(expired, "")
    assert situations.seen == {}
    bench.disk_world.allocate(Allocation(f"{STAGING}/files/a", 100))
    situations.begun(expired, "")
    assert situations.seen == {"410-during-download": 1}
