"""The plan, case by case."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cacheagent.actions import (
    Abandon,
    Adopt,
    Discard,
    Evict,
    Fetch,
    MakeView,
    Pause,
    Plan,
    RemoveView,
    Resolve,
)
from cacheagent.planning import Capacity, Model, Work, plan

CAPACITY = Capacity(limit_bytes=100, free_bytes=1000)


def model(key: str, size_bytes: int = 40, **fields: Any) -> Model:
    defaults: dict[str, Any] = {"resolved": True, "listed": True, "view": True}
    return Model(key=key, name=key, size_bytes=size_bytes, **{**defaults, **fields})


def held(key: str, size_bytes: int = 40, **fields: Any) -> Model:
    return model(key, size_bytes, held=True, **fields)


def decide(*models: Model, capacity: Capacity = CAPACITY, slots: int = 4, now: float = 0.0) -> Plan:
    return plan(models, capacity, slots=slots, now=now)


def of(kind: type, decided: Plan) -> list[str]:
    return [action.key for action in decided.actions if isinstance(action, kind)]


def test_nothing_to_do_is_an_empty_plan() -> None:
    assert decide(held("a"), held("b")).actions == ()


def test_what_is_missing_is_fetched() -> None:
    assert decide(held("a"), model("b")).actions == (Fetch("b", 40, "Assigned"),)


def test_an_unknown_source_is_listed_first() -> None:
    assert decide(model("a", listed=False, resolved=False)).actions == (Resolve("a", "SizeUnknown"),)


def test_a_view_is_made_for_an_assigned_model() -> None:
    assert MakeView("a", "Assigned") in decide(model("a", view=False)).actions


def test_a_view_is_made_for_a_pod_whose_model_is_not_assigned() -> None:
    decided = decide(model("a", desired=False, in_use=True, view=False))
    assert decided.actions == (MakeView("a", "CarriedByPod"),)


def test_a_view_that_nobody_needs_goes() -> None:
    assert decide(model("a", desired=False)).actions == (RemoveView("a"),)


@pytest.mark.parametrize("work", [Work.TRANSFERRING, Work.ADOPTING])
def test_a_view_stays_as_long_as_something_may_be_published_there(work: Work) -> None:
    assert RemoveView("a") not in decide(model("a", desired=False, work=work)).actions


def test_the_least_valuable_copy_makes_room() -> None:
    decided = decide(held("old", value=1.0), held("new", value=2.0), model("wanted", value=3.0))
    assert of(Evict, decided) == ["old"]


def test_a_fetch_waits_until_the_room_is_there() -> None:
    decided = decide(held("old", value=1.0), held("new", value=2.0), model("wanted", value=3.0))
    assert of(Fetch, decided) == []
    assert decided.obstacles["wanted"].reason == "WaitingForSpace"


def test_a_pod_makes_a_model_more_important_than_priority() -> None:
    decided = decide(held("a", 60, priority=100), model("b", 60, in_use=True))
    assert of(Evict, decided) == ["a"]


@pytest.mark.parametrize("protection", ["in_use", "pinned"])
def test_a_protected_copy_is_never_evicted(protection: str) -> None:
    protected = msgspec.structs.replace(held("a", 60), **{protection: True})
    decided = decide(protected, model("b", 60, in_use=True, priority=9))
    assert of(Evict, decided) == []
    assert decided.obstacles["b"].reason == "HeldByModelsInUse"
    assert decided.obstacles["b"].never


def test_nothing_goes_for_a_model_that_never_fits() -> None:
    decided = decide(held("a"), held("b"), model("huge", 101, in_use=True))
    assert decided.actions == ()
    assert decided.obstacles["huge"].reason == "ModelLargerThanLimit"


def test_a_model_that_never_fitted_is_listed_again_when_its_size_is_old_news() -> None:
    assert of(Resolve, decide(held("a"), model("huge", 101, listed=False))) == ["huge"]
    assert decide(held("a", 60), model("b", 60, listed=False, evicted=True)).actions == ()


def test_a_disk_that_others_have_filled_is_said_to_be_so() -> None:
    decided = decide(model("a", 60), capacity=Capacity(limit_bytes=50, free_bytes=50, allowed_bytes=100))
    assert decided.obstacles["a"].reason == "DiskFilledByOthers"


def test_nothing_goes_for_a_model_whose_source_was_not_listed() -> None:
    decided = decide(held("a", 60), model("b", 60, in_use=True, listed=False))
    assert of(Evict, decided) == []
    assert of(Resolve, decided) == ["b"]


def test_nothing_goes_before_the_listing_though_the_node_is_full() -> None:
    decided = decide(held("a", 50), held("b", 50), model("c", 50, value=9.0, listed=False, resolved=False))
    assert of(Evict, decided) == []


def test_an_eviction_says_for_whom() -> None:
    decided = decide(held("a", 50), held("b", 50), model("c", 50, value=9.0))
    (eviction,) = [action for action in decided.actions if isinstance(action, Evict)]
    assert eviction.message == "room is needed for c within the limit of 100 B"


def test_a_failing_source_keeps_no_room_from_others() -> None:
    broken = model("a", 60, value=9.0, listed=False, failed=True, retry_at_seconds=50.0)
    assert of(Fetch, decide(broken, model("b", 60))) == ["b"]


def test_a_failed_model_is_tried_again_when_its_time_has_come() -> None:
    broken = model("a", listed=False, failed=True, retry_at_seconds=50.0)
    assert decide(broken, now=49.0).actions == ()
    assert decide(broken, now=49.0).wake_at_seconds == 50.0
    assert of(Resolve, decide(broken, now=50.0)) == ["a"]


def test_an_evicted_model_displaces_nobody() -> None:
    decided = decide(held("a", 60, value=1.0), model("b", 60, value=2.0, evicted=True, priority=5))
    assert decided.actions == ()


def test_an_evicted_model_returns_into_free_room_below_the_low_watermark() -> None:
    assert of(Fetch, decide(held("a", 40), model("b", 40, evicted=True))) == ["b"]
    assert of(Fetch, decide(held("a", 41), model("b", 40, evicted=True))) == []


def test_a_later_pod_does_not_throw_away_what_an_earlier_one_waits_for() -> None:
    first = model("a", 60, value=1.0, in_use=True, work=Work.TRANSFERRING)
    decided = decide(first, model("b", 60, value=2.0, in_use=True), slots=2)
    assert of(Abandon, decided) == []
    assert of(Fetch, decided) == []


def test_an_evicted_model_that_is_used_again_comes_back() -> None:
    decided = decide(held("a", 60, value=1.0), model("b", 60, evicted=True, in_use=True))
    assert of(Evict, decided) == ["a"]


def test_orphans_go_though_there_is_room() -> None:
    assert of(Evict, decide(held("a", desired=False))) == ["a"]


def test_an_orphan_in_use_stays() -> None:
    assert decide(held("a", desired=False, in_use=True)).actions == ()


def test_a_pin_ends_with_the_assignment() -> None:
    assert of(Evict, decide(held("a", desired=False, pinned=True))) == ["a"]


def test_a_lowered_limit_evicts_down_to_the_low_watermark() -> None:
    copies = [held(name, 20, value=float(number)) for number, name in enumerate("abcde")]
    decided = decide(*copies, capacity=Capacity(limit_bytes=50, free_bytes=0))
    assert of(Evict, decided) == ["a", "b", "c"]


def test_downloads_begin_with_what_pods_wait_for_then_priority_then_small_ones() -> None:
    models = [model("big", 30), model("small", 10), model("urgent", 30, in_use=True), model("vip", 30, priority=1)]
    assert of(Fetch, decide(*models)) == ["urgent", "vip", "small", "big"]


def test_no_more_downloads_than_slots() -> None:
    running = model("a", 10, work=Work.TRANSFERRING)
    decided = decide(running, model("b", 10), model("c", 10), slots=2)
    assert of(Fetch, decided) == ["b"]
    assert decided.obstacles["c"].reason == "Queued"


def test_a_download_pauses_for_one_that_a_pod_waits_for() -> None:
    running = model("a", 10, work=Work.TRANSFERRING)
    assert of(Pause, decide(running, model("b", 10, in_use=True), slots=1)) == ["a"]


def test_room_that_a_download_has_reserved_is_not_given_twice() -> None:
    running = model("a", 60, work=Work.TRANSFERRING, value=9.0)
    decided = decide(running, model("b", 60))
    assert of(Fetch, decided) == []
    assert of(Abandon, decided) == []


def test_a_download_for_which_there_is_no_room_any_more_is_given_up() -> None:
    running = model("a", 60, work=Work.TRANSFERRING)
    assert of(Abandon, decide(running, model("b", 60, in_use=True))) == ["a"]


def test_a_download_that_nobody_asks_for_any_more_is_given_up() -> None:
    decided = decide(model("a", desired=False, staged=True, work=Work.TRANSFERRING))
    assert Abandon("a", "NotAssigned") in decided.actions


def test_a_fetch_waits_for_the_disk_though_the_limit_allows_it() -> None:
    decided = decide(model("a"), capacity=Capacity(limit_bytes=100, free_bytes=10))
    assert decided.obstacles["a"].reason == "WaitingForSpace"


def test_a_folder_without_manifest_is_adopted_instead_of_fetched() -> None:
    assert decide(model("a", adoptable="models/a", listed=False)).actions == (Adopt("a", "models/a"),)


def test_a_damaged_copy_is_discarded_unless_a_pod_uses_it() -> None:
    assert of(Discard, decide(model("a", damaged="lacks a file"))) == ["a"]
    assert decide(model("a", damaged="lacks a file", in_use=True)).actions == ()


def test_a_stale_copy_is_replaced_when_nobody_uses_it() -> None:
    assert of(Discard, decide(held("a", stale="patterns"))) == ["a"]
    assert decide(held("a", stale="patterns", in_use=True)).actions == ()


def test_a_fleet_does_not_begin_at_once() -> None:
    decided = decide(model("a", listed=False, start_at_seconds=10.0), now=8.0)
    assert decided.actions == ()
    assert decided.wake_at_seconds == 10.0
    assert "not all nodes ask" in decided.obstacles["a"].message
    assert of(Resolve, decide(model("a", listed=False, start_at_seconds=10.0), now=10.0)) == ["a"]


def test_a_pod_does_not_wait_for_the_fleet() -> None:
    assert of(Resolve, decide(model("a", listed=False, start_at_seconds=10.0, in_use=True), now=8.0)) == ["a"]
