"""Two managers with one lease: who writes, and who has taken over after how long."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from typing import Any

from cachecore import names
from cachecore.adapters.kube import KubeClient
from cachecore.errors import NotFound
from cachecore.resources.core import Lease
from cachesim.controlplane.testing_audit import AuditLog
from cachesim.controlplane.testing_fleet import StandInAgents, StandInFleet
from cachesim.controlplane.testing_manager import ManagerProcess
from cachesim.controlplane.testing_proxy import FaultProxy

LEASE_SECONDS = 15.0
RETRY_SECONDS = 2.0 * 1.2
# For a machine that is busy with something else.
SLACK_SECONDS = 3.0


async def holder(client: KubeClient) -> str:
    try:
        lease = await client.get(Lease, names.MANAGER_LEASE, names.SYSTEM_NAMESPACE)
    except NotFound:
        return ""
    return lease.spec.holder_identity or ""


class Pair:
    """Two managers: `old` leads, `new` stands by."""

    def __init__(self, client: KubeClient, old: ManagerProcess, new: ManagerProcess) -> None:
        self._client = client
        self.old = old
        self.new = new

    async def start(self, eventually: Any) -> None:
        await self.old.start()
        await eventually(self.led_by_old)
        await self.new.start()

    async def led_by_old(self) -> bool:
        return await holder(self._client) == self.old.user

    async def led_by_new(self) -> bool:
        return await holder(self._client) == self.new.user


async def keep_busy(fleet: StandInFleet) -> None:
    """Something to write for a leader, at any time."""
    for number in itertools.count(0, 10):
        await asyncio.gather(*(fleet.add_cache(number + more) for more in range(10)))


async def test_a_leader_that_was_stopped_writes_nothing_when_it_goes_on(
    client: KubeClient, managers: Any, eventually: Any, audit: AuditLog
) -> None:
    fleet = StandInFleet(client, "stopped")
    await fleet.add_nodes(4)
    await fleet.add_group()
    async with managers() as (old, new), StandInAgents(client, "stopped").running():
        pair = Pair(client, old, new)
        await pair.start(eventually)
        busy = asyncio.create_task(keep_busy(fleet))

        async def in_the_middle() -> bool:
            return len(audit.writes(old.user)) > 30

        await eventually(in_the_middle)
        old.send(signal.SIGSTOP)
        busy.cancel()
        await eventually(pair.led_by_new)
        # What the API server had got of its last write before it was stopped has long been answered.
        continued = time.time()
        old.send(signal.SIGCONT)

        async def campaigns_again() -> bool:
            return sum(one.verb == "get" for one in audit.requests(old.user, since_seconds=continued)) >= 2

        await eventually(campaigns_again)
        assert [str(one) for one in audit.writes(old.user, since_seconds=continued)] == []
        assert audit.lease_writes(old.user, since_seconds=continued) == []


async def test_a_leader_that_was_cut_off_writes_nothing_when_it_is_back(
    client: KubeClient, managers: Any, proxy: FaultProxy, eventually: Any, audit: AuditLog
) -> None:
    fleet = StandInFleet(client, "cut-off")
    await fleet.add_nodes(4)
    await fleet.add_group()
    async with managers(proxy.url) as (old, new), StandInAgents(client, "cut-off").running():
        pair = Pair(client, old, new)
        await pair.start(eventually)
        with proxy.away():
            for number in range(10):
                await fleet.add_cache(number)
            await eventually(pair.led_by_new)
        back = time.time()

        async def has_campaigned() -> bool:
            return any(one.object_ref.resource == "leases" for one in audit.requests(old.user, since_seconds=back))

        await eventually(has_campaigned)
        assert [str(one) for one in audit.writes(old.user, since_seconds=back)] == []


async def test_a_killed_leader_is_replaced_when_its_lease_has_expired(
    client: KubeClient, managers: Any, eventually: Any, figures: Any
) -> None:
    async with managers() as (old, new):
        pair = Pair(client, old, new)
        await pair.start(eventually)
        await old.process.kill()
        seconds = await eventually(pair.led_by_new)
        figures("a killed leader is replaced after", seconds)
        # The lease counts from the last renewal, which was at most a retry period old.
        assert LEASE_SECONDS - RETRY_SECONDS < seconds < LEASE_SECONDS + SLACK_SECONDS


async def test_a_leader_that_ends_in_good_order_is_replaced_within_a_retry_period(
    client: KubeClient, managers: Any, eventually: Any, figures: Any
) -> None:
    async with managers() as (old, new):
        pair = Pair(client, old, new)
        await pair.start(eventually)
        old.send(signal.SIGTERM)
        seconds = await eventually(pair.led_by_new)
        figures("a leader that ended in good order is replaced after", seconds)
        assert seconds < RETRY_SECONDS + SLACK_SECONDS
