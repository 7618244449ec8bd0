"""Lost answers, conflicts, refusals, two leaders, restarts: the manager ends where it would have ended without them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from cachecore import names
from cachecore.errors import ApiUnavailable, Conflict, Forbidden, TooManyRequests
from cachecore.resources.core import Lease, Node, PersistentVolumeClaim
from cachecore.resources.serving import InferenceService, LocalModelCache, LocalModelNode
from cachemanager.manager import Manager
from cachesim.apiserver import InMemoryClient

T = TypeVar("T")


class FaultyClient(InMemoryClient):
    """Writes fail by chance: refused, or applied though the answer is lost. Nothing fails once `healed`."""

    def __init__(self, cluster: Any, *, rate: float = 0.3) -> None:
        super().__init__(cluster.server, user_agent="manager")
        self._runtime = cluster.runtime
        self._rate = rate
        self.healed = False
        self.failed = 0

    async def _try(self, call: Coroutine[Any, Any, T]) -> T:
        chance = self._runtime.random
        if self.healed or chance.random() > self._rate:
            return await call
        self.failed += 1
        if chance.random() < 0.5:
            await call
            raise ApiUnavailable("the answer was lost")
        call.close()
        raise chance.choice(
            [Conflict("stale"), ApiUnavailable("down"), TooManyRequests("slow down", retry_after_seconds=1.0)]
        )

    async def create(self, resource: Any) -> Any:
        return await self._try(super().create(resource))

    async def update(self, resource: Any) -> Any:
        return await self._try(super().update(resource))

    async def update_status(self, resource: Any) -> Any:
        return await self._try(super().update_status(resource))

    async def patch(self, kind: Any, name: str, patch: Any, **options: Any) -> Any:
        return await self._try(super().patch(kind, name, patch, **options))

    async def delete(self, kind: Any, name: str, **options: Any) -> None:
        await self._try(super().delete(kind, name, **options))


async def churn(cluster: Any) -> None:
    """A day in the life: caches, services and nodes come and go."""
    for number in range(4):
        await cluster.add_node(f"n{number}")
    await cluster.add_group()
    for number in range(4):
        await cluster.add_cache(f"m{number}", copies=2 if number % 2 else None)
    await cluster.add_service(uri="s3://models/m0")
    await cluster.settle(5)
    await cluster.client.delete(Node, "n3")
    await cluster.client.delete(LocalModelCache, "m3")
    await cluster.client.delete(InferenceService, "classifier", namespace="team-a")
    await cluster.settle(2)
    await cluster.add_service(uri="s3://models/m0/sub")
    await cluster.add_node("n3")
    await cluster.settle(5)


async def check(cluster: Any) -> None:
    assert [one.name for one in (await cluster.client.list(LocalModelCache)).items] == ["m0", "m1", "m2"]
    for name, total in (("m0", 4), ("m1", 2), ("m2", 4)):
        assert await cluster.condition("Ready", name) == ("True", "AllCopiesReady")
        assert (await cluster.cache(name)).status.copies.total == total
    assert (await cluster.claim("m0-workers")).status["phase"] == "Bound"
    label = names.node_ready_label(names.storage_key("s3://models/m0"))
    for number in range(4):
        node = await cluster.client.get(Node, f"n{number}")
        assert node.metadata.labels[label] == "ready"
        local = await cluster.client.get(LocalModelNode, node.name)
        assert [one.uid for one in local.metadata.owner_references] == [node.uid]


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_writes_that_fail_are_made_good(cluster: Any, rate: float) -> None:
    client = FaultyClient(cluster, rate=rate)
    cluster.manager = Manager(cluster.runtime, client, cluster.options)

    async def test(cluster: Any) -> None:
        await churn(cluster)
        client.healed = True
        await cluster.settle(400)
        await check(cluster)
        assert client.failed > 5
        writes = cluster.manager.client.writes
        await cluster.settle(600)
        assert cluster.manager.client.writes == writes

    cluster.run(test)


def test_two_leaders_at_once_do_no_harm(cluster: Any) -> None:
    cluster.manager = cluster.new_manager("first", leader_election=False)
    second = cluster.new_manager("second", leader_election=False)

    async def test(cluster: Any) -> None:
        task = cluster.runtime.spawn(second.run(), name="second")
        await churn(cluster)
        await cluster.settle(60)
        await check(cluster)
        writes = cluster.manager.client.writes + second.client.writes
        await cluster.settle(600)
        assert cluster.manager.client.writes + second.client.writes == writes
        task.cancel()

    cluster.run(test)


def test_a_standby_takes_over_and_finds_nothing_to_do(cluster: Any) -> None:
    second = cluster.new_manager("second")

    async def test(cluster: Any) -> None:
        await churn(cluster)
        await cluster.settle()
        task = cluster.runtime.spawn(second.run(), name="second")
        await cluster.settle(5)
        assert (second.ready, second.leading, second.client.writes) == (True, False, 0)
        lease = await cluster.client.get(Lease, names.MANAGER_LEASE, names.SYSTEM_NAMESPACE)
        assert lease.spec.holder_identity == "manager-0"
        cluster.leader.cancel()
        await cluster.settle(30)
        assert second.leading
        assert second.client.writes == 0
        await check(cluster)
        task.cancel()

    cluster.run(test)


def test_a_restart_writes_nothing(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await churn(cluster)
        await cluster.settle()
        cluster.leader.cancel()
        again = cluster.new_manager("again", leader_election=False)
        task = cluster.runtime.spawn(again.run(), name="again")
        await cluster.settle(60)
        assert again.leading
        assert again.client.writes == 0
        task.cancel()

    cluster.run(test)


def test_a_refusal_is_told_and_tried_again(cluster: Any) -> None:
    class Refusing(InMemoryClient):
        refuses = True

        async def create(self, resource: Any) -> Any:
            if self.refuses and isinstance(resource, PersistentVolumeClaim):
                raise Forbidden("exceeded quota: claims")
            return await super().create(resource)

    client = Refusing(cluster.server)
    cluster.manager = Manager(cluster.runtime, client, cluster.options)

    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_group()
        await cluster.add_cache()
        await cluster.add_service()
        await cluster.settle()
        degraded = next(one for one in (await cluster.cache()).status.conditions if one.type == "Degraded")
        assert (degraded.status, degraded.reason) == ("True", "VolumeProblem")
        assert "exceeded quota" in degraded.message
        client.refuses = False
        await cluster.settle(60)
        assert (await cluster.claim("iris-workers")).status["phase"] == "Bound"
        assert await cluster.condition("Degraded") == ("False", "AsExpected")

    cluster.run(test)
