"""The manager as a process, behind a proxy that fails a part of its requests by chance: all becomes right anyway."""

from __future__ import annotations

import itertools
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from cachecore import names
from cachecore.adapters.kube import KubeClient
from cachecore.resources.core import Node, PersistentVolume, PersistentVolumeClaim
from cachecore.resources.serving import InferenceService, LocalModelCache, LocalModelNode
from cachesim.controlplane.testing_audit import AuditLog
from cachesim.controlplane.testing_fleet import StandInAgents, StandInFleet
from cachesim.controlplane.testing_proxy import FaultKind, FaultProxy, ProxyFault, ProxyRequest

RATE = 0.2
IDLE_SECONDS = 10.0
_READY_LABEL = re.compile(rf"{re.escape(names.DOMAIN)}/[0-9a-f]{{16}}")


class Chance:
    """A part of the requests fails, each in its way; the same seed gives the same row of faults."""

    FAULTS = (
        ProxyFault(kind=FaultKind.REFUSE, status=429, retry_after_seconds=1),
        ProxyFault(kind=FaultKind.RESET),
        ProxyFault(kind=FaultKind.LOSE_ANSWER),
        ProxyFault(kind=FaultKind.REFUSE, status=503),
        ProxyFault(kind=FaultKind.DELAY, seconds=0.3),
        ProxyFault(kind=FaultKind.LOSE_ANSWER),
        ProxyFault(kind=FaultKind.REFUSE, status=500),
    )

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._faults = itertools.cycle(self.FAULTS)

    def __call__(self, request: ProxyRequest) -> ProxyFault | None:
        chance = self._chance
        if request.watches:
            # Each watch breaks sooner or later.
            return ProxyFault(kind=FaultKind.CUT, seconds=1.0 + 9.0 * chance.random())
        if chance.random() >= RATE:
            return None
        return next(self._faults)


def lost_once() -> Callable[[ProxyRequest], ProxyFault | None]:
    """Of every object's every kind of write, the first answer is lost."""
    lost: set[tuple[str, str, bytes]] = set()

    def choose(request: ProxyRequest) -> ProxyFault | None:
        # A creation has its object's name in the body alone.
        write = (request.method, request.path, request.body if request.method == "POST" else b"")
        if not request.writes or "leases" in request.path or write in lost:
            return None
        lost.add(write)
        return ProxyFault(kind=FaultKind.LOSE_ANSWER)

    return choose


class World:
    """What there is, as a person changes it, and whether the manager has caught up."""

    def __init__(self, client: KubeClient, fleet: StandInFleet) -> None:
        self._client = client
        self._fleet = fleet
        self._services: set[tuple[str, str]] = set()
        self._caches: list[str] = []

    async def build(self, *, nodes: int = 8, caches: int = 10) -> None:
        await self._fleet.add_nodes(nodes)
        await self._fleet.add_group()
        self._caches = [await self._fleet.add_cache(number) for number in range(caches)]
        for cache in self._caches[:4]:
            for namespace in ("team-a", "team-b"):
                await self._add_service(cache, namespace)

    async def change(self) -> None:
        """Caches, services and nodes go; one of each comes back under its name."""
        for cache in self._caches[:2]:
            await self._remove_service(cache, "team-a")
        await self._add_service(self._caches[0], "team-a")
        for cache in self._caches[7:]:
            await self._client.delete(LocalModelCache, cache)
        del self._caches[7:]
        self._caches.append(await self._fleet.add_cache(20))
        for number in (0, 1):
            await self._client.delete(Node, f"{self._fleet.prefix}-n{number}")
        await self._fleet.add_nodes(1)

    async def is_right(self) -> bool:
        """Every cache is Ready on every node, bound where it is used, on the nodes' labels; nothing else is there."""
        prefix = self._fleet.prefix
        claims = [one for one in (await self._client.list(PersistentVolumeClaim)).items if one.name.startswith(prefix)]
        volumes = [one.name for one in (await self._client.list(PersistentVolume)).items if one.name.startswith(prefix)]
        caches = [one for one in (await self._client.list(LocalModelCache)).items if one.name.startswith(prefix)]
        locals_ = [one.name for one in (await self._client.list(LocalModelNode)).items if one.name.startswith(prefix)]
        nodes = (await self._client.list(Node, label_selector=f"pool={prefix}")).items
        labels = {names.node_ready_label(names.storage_key(self._fleet.uri(cache))) for cache in self._caches}
        wanted_claims = {(names.claim_name(cache, self._fleet.group), namespace) for cache, namespace in self._services}
        wanted_volumes = {names.volume_name(cache, self._fleet.group, space) for cache, space in self._services}
        return (
            sorted(self._caches) == [one.name for one in caches] == sorted(await self._fleet.ready_caches())
            and all(
                one.status.copies is not None
                and (one.status.copies.available, one.status.copies.total) == (len(nodes), len(nodes))
                for one in caches
            )
            and sorted(wanted_claims) == sorted((one.name, one.namespace) for one in claims)
            and sorted(wanted_volumes) == sorted(volumes)
            and all(claim.status.get("phase") == "Bound" for claim in claims)
            and [node.name for node in nodes] == locals_
            and all({one for one in node.metadata.labels if _READY_LABEL.fullmatch(one)} == labels for node in nodes)
        )

    async def _add_service(self, cache: str, namespace: str) -> None:
        await self._fleet.add_service(cache, namespace)
        self._services.add((cache, namespace))

    async def _remove_service(self, cache: str, namespace: str) -> None:
        await self._client.delete(InferenceService, f"{cache}-service", namespace=namespace)
        self._services.remove((cache, namespace))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1])
async def test_all_becomes_right_and_then_nothing_is_written(
    client: KubeClient, managers: Any, proxy: FaultProxy, eventually: Any, audit: AuditLog, figures: Any, seed: int
) -> None:
    fleet = StandInFleet(client, f"faulty{seed}")
    world = World(client, fleet)
    proxy.choose = Chance(seed)
    async with managers(proxy.url) as (manager, _), StandInAgents(client, fleet.prefix).running():
        await manager.start()
        await world.build()
        seconds = await eventually(world.is_right, 60, lambda: manager.process.log(20))
        figures("with faults, all was right after", seconds)
        await world.change()
        seconds = await eventually(world.is_right, 60, lambda: manager.process.log(20))
        figures("with faults, the changes were made good after", seconds)

        async def is_idle() -> bool:
            return audit.writes(manager.user, since_seconds=time.time() - IDLE_SECONDS) == []

        # The faults go on, and so does the idleness.
        seconds = await eventually(is_idle, 60, lambda: [str(one) for one in audit.writes(manager.user)[-5:]])
        figures("with faults, there was nothing to write after", max(0.0, seconds - IDLE_SECONDS))
        assert await world.is_right()
        struck = {kind: len(proxy.faults(kind)) for kind in FaultKind}
        figures(f"faults {struck}, of requests", len(proxy.seen), "")
        assert all(struck.values())
        assert any(request.writes for request in proxy.faults(FaultKind.LOSE_ANSWER))


async def test_a_lost_answer_of_each_write_costs_a_few_conflicts_and_no_more(
    client: KubeClient, managers: Any, proxy: FaultProxy, eventually: Any, audit: AuditLog, figures: Any
) -> None:
    fleet = StandInFleet(client, "lost")
    world = World(client, fleet)
    proxy.choose = lost_once()
    begun = time.time()
    async with managers(proxy.url) as (manager, _), StandInAgents(client, fleet.prefix).running():
        await manager.start()
        await world.build(nodes=3, caches=4)
        seconds = await eventually(world.is_right, 60, lambda: manager.process.log(20))
        figures("with every first answer lost, all was right after", seconds)
        refused = Counter(
            f"{one.verb} {one.object_ref}"
            for one in audit.writes(manager.user, since_seconds=begun)
            if one.response_status.code == 409
        )
        figures("conflicts with its own writes, at most for one object", max(refused.values(), default=0), "")
        assert len(proxy.faults(FaultKind.LOSE_ANSWER)) > 25
        assert max(refused.values(), default=0) <= 3
