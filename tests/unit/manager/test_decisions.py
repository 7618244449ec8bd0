"""What the manager logs of the specs that it writes, and of the places that it chooses."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
import pytest

from cachecore.decisions import Decision
from cachecore.resources.serving import Storage
from cachemanager.decisions import NodeSpecified
from cachemanager.placement_decisions import CachePlaced

Told: TypeAlias = Callable[[type[Decision]], list[Any]]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    """The decisions of one kind so far, by way of JSON."""
    caplog.set_level(logging.INFO, logger="cachemanager")

    def decisions(kind: type[Decision]) -> list[Any]:
        found = [vars(record).get("decision") for record in caplog.records]
        return [msgspec.json.decode(msgspec.json.encode(one), type=kind) for one in found if isinstance(one, kind)]

    return decisions


def test_a_spec_is_told_with_what_it_was_made_of(cluster: Any, told: Told) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_group()
        await cluster.add_cache()
        await cluster.settle()

    cluster.run(test)
    decision = told(NodeSpecified)[-1]
    assert decision.host == "n1"
    assert [group.name for group in decision.seen.groups] == ["workers"]
    assert [(cache.name, cache.used, cache.demanded) for cache in decision.seen.caches] == [("iris", False, False)]
    assert [entry.model_name for entry in decision.spec.local_models] == ["iris"]


def test_a_spec_that_stays_is_not_told_again(cluster: Any, told: Told) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_group()
        await cluster.add_cache()
        await cluster.settle()
        before = len(told(NodeSpecified))
        await cluster.settle(700.0)
        assert len(told(NodeSpecified)) == before

    cluster.run(test)


def test_whose_credentials_are_used_is_not_told(cluster: Any, told: Told) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_group()
        secretive = Storage(key="vault", parameters={"password": "swordfish"})
        await cluster.add_cache(service_account_name="robot", storage=secretive)
        await cluster.settle()
        assert await cluster.listed("n1") == ["iris"]

    cluster.run(test)
    lines = msgspec.json.encode(told(NodeSpecified)).decode()
    assert "s3://models/iris" in lines
    assert not any(word in lines for word in ("swordfish", "vault", "robot"))


def test_where_a_cache_with_copies_goes_is_told_once(cluster: Any, told: Told) -> None:
    async def test(cluster: Any) -> None:
        for name in ("n1", "n2", "n3"):
            await cluster.add_node(name)
        await cluster.add_group()
        await cluster.add_cache(copies=1)
        await cluster.settle()

    cluster.run(test)
    (placed,) = told(CachePlaced)
    assert (placed.host, placed.copies, [one.node for one in placed.candidates]) == ("iris", 1, ["n1", "n2", "n3"])
    assert list(placed.nodes.values()) == ["workers"]
