"""Keyed by node group: its status."""

from __future__ import annotations

import msgspec

from cachecore.controller.controller import Result
from cachecore.errors import NotFound
from cachecore.ports.cluster import ClusterClient
from cachecore.ports.runtime import Runtime
from cachecore.resources.serving import LocalModelNodeGroup, LocalModelNodeGroupStatus
from cachemanager.fleet import Fleet
from cachemanager.group_status import MemberNode, group_status
from cachemanager.options import ManagerOptions
from cachemanager.written import Written


class GroupReconciler:
    def __init__(self, runtime: Runtime, client: ClusterClient, fleet: Fleet, options: ManagerOptions) -> None:
        self._runtime = runtime
        self._client = client
        self._fleet = fleet
        self._options = options
        self._written: Written[str, LocalModelNodeGroup] = Written()
        self._written_at_seconds: dict[str, float] = {}

    async def reconcile(self, request: str) -> Result:
        seen = self._fleet.groups.get(request)
        if seen is None:
            self._written.forget(request)
            self._written_at_seconds.pop(request, None)
            return Result()
        group = self._written.current(request, seen)
        if group.being_deleted:
            return Result()
        status = group_status(group, [self._member(node) for node in self._fleet.members(request)], self._runtime.now())
        if status == group.status:
            return Result()
        wait_seconds = self._wait_seconds(request)
        if wait_seconds > 0 and _only_amounts_differ(group.status, status):
            return Result(requeue_after_seconds=wait_seconds)
        try:
            written = await self._client.update_status(msgspec.structs.replace(group, status=status))
        except NotFound:
            return Result()
        self._written.remember(request, group, written)
        self._written_at_seconds[request] = self._runtime.monotonic()
        return Result()

    def _wait_seconds(self, group: str) -> float:
        last = self._written_at_seconds.get(group)
        if last is None:
            return 0.0
        return last + self._options.group_interval_seconds - self._runtime.monotonic()

    def _member(self, node: str) -> MemberNode:
        local = self._fleet.believed(node)
        return MemberNode(
            node=node,
            ready=self._fleet.ready(node),
            storage=local.status.storage if local is not None else None,
        )


def _only_amounts_differ(old: LocalModelNodeGroupStatus, new: LocalModelNodeGroupStatus) -> bool:
    def essence(status: LocalModelNodeGroupStatus) -> object:
        conditions = [(one.type, one.status) for one in status.conditions]
        return conditions, status.observed_generation

    return essence(old) == essence(new)
