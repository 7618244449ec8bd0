"""Caches that share one URI share one copy, and are told where they disagree."""

from __future__ import annotations

from typing import Any

from cacheagent.demand import Demand, demands
from cachecore.names import storage_key
from cachecore.resources.serving import LocalModelInfo, Storage

URI = "s3://models/iris"


def entry(name: str, **fields: Any) -> LocalModelInfo:
    return LocalModelInfo(source_model_uri=URI, model_name=name, **fields)


def together(*entries: LocalModelInfo) -> Demand:
    (demand,) = demands(entries).values()
    return demand


def test_one_uri_is_one_demand() -> None:
    demand = together(entry("b", namespace="team"), entry("b"), entry("a"))
    assert demand.key == storage_key(URI)
    assert [each.status_key for each in demand.entries] == ["a", "b", "team/b"]


def test_the_highest_priority_counts_and_one_pin_pins() -> None:
    demand = together(entry("a", priority=1), entry("b", priority=7, pinned=True))
    assert (demand.priority, demand.pinned) == (7, True)


def test_agreeing_caches_have_nothing_to_tell() -> None:
    assert together(entry("a", digest="blake3:1"), entry("b")).note == ""


def test_other_credentials_are_told_and_tried_second() -> None:
    demand = together(entry("a"), entry("b", storage=Storage(key="mine")), entry("c", storage=Storage(key="mine")))
    assert demand.note.startswith("b, c names other credentials")
    assert [each.model_name for each in demand.candidates] == ["a", "b"]


def test_other_patterns_and_digests_are_told() -> None:
    demand = together(entry("a", digest="blake3:1"), entry("b", allow_patterns=("*.bin",), digest="blake3:2"))
    assert "b has other patterns" in demand.note
    assert "b expects another digest; blake3:1 holds" in demand.note


def test_a_size_that_cannot_be_read_is_only_a_hint_less() -> None:
    assert together(entry("a", size="much")).declared_bytes == 0
    assert together(entry("a", size="1Ki"), entry("b", size=2000)).declared_bytes == 2000


def test_a_priority_changes_no_recipe_but_a_digest_does() -> None:
    assert together(entry("a")).recipe == together(entry("a", priority=3)).recipe
    assert together(entry("a")).recipe != together(entry("a", digest="blake3:1")).recipe
