"""A node group that goes while a cache needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cachecore.errors import Forbidden
from cachecore.resources.serving import LocalModelNodeGroup
from cachesim.localcluster.testing_bench import Bench, group_manifest

URI = "s3://models/passing"


@pytest.fixture
def passing(bench: Bench) -> Iterator[str]:
    """A group with the same nodes as the other, and a cache that is Ready in it."""
    bench.put("models", {"passing/weights.bin": b"weights"})
    bench.run(bench.cluster.apply(group_manifest("passing", "16Mi")))
    bench.cache("passing", URI, nodeGroups=["passing"])
    bench.ready("passing")
    yield "passing"
    bench.delete("passing")
    bench.run(bench.cluster.client.delete(LocalModelNodeGroup, "passing"))


def test_it_is_not_deleted_while_a_cache_needs_it(bench: Bench, passing: str) -> None:
    with pytest.raises(
        Forbidden, match="LocalModelNodeGroup passing is in use by LocalModelCache passing: delete that"
    ):
        bench.run(bench.cluster.client.delete(LocalModelNodeGroup, passing))
    bench.ready("passing")


def test_gone_behind_the_webhooks_back_it_is_missed_and_its_return_heals(bench: Bench, passing: str) -> None:
    with bench.without_validation():
        bench.run(bench.cluster.client.delete(LocalModelNodeGroup, passing))
        condition = bench.condition("passing", "NodeGroupNotFound")
    assert condition.message == (
        "there is no LocalModelNodeGroup passing: make it again, or take it off the cache's nodeGroups"
    )
    bench.run(bench.cluster.apply(group_manifest("passing", "16Mi")))
    bench.ready("passing")
    assert bench.published(URI) == {"weights.bin": b"weights"}
