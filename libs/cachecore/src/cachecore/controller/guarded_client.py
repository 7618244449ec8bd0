"""A `ClusterClient` that asks before each write: to count it, or to refuse it."""

from __future__ import annotations

from typing import TypeVar

from cachecore.ports.cluster import BeforeWrite, ClusterClient, GuardableClient, Patch, ResourceList, Watch
from cachecore.resources.meta import Resource

R = TypeVar("R", bound=Resource)


def guarded(client: ClusterClient, before_write: BeforeWrite) -> ClusterClient:
    """`client`, asking before each write, as late as it can."""
    if isinstance(client, GuardableClient):
        return client.guarded(before_write)
    return GuardedClient(client, before_write)


class GuardedClient:
    """Reads pass; each write first asks `before_write`, with no await between the answer and the inner client."""

    def __init__(self, client: ClusterClient, before_write: BeforeWrite) -> None:
        self._client = client
        self._before_write = before_write

    async def get(self, kind: type[R], name: str, namespace: str = "") -> R:
        return await self._client.get(kind, name, namespace)

    async def list(
        self,
        kind: type[R],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> ResourceList[R]:
        return await self._client.list(
            kind,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            continue_token=continue_token,
            resource_version=resource_version,
        )

    async def watch(
        self,
        kind: type[R],
        *,
        resource_version: str,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: float = 300.0,
    ) -> Watch[R]:
        return await self._client.watch(
            kind,
            resource_version=resource_version,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_seconds=timeout_seconds,
        )

    async def create(self, resource: R) -> R:
        self._before_write("create", type(resource), "")
        return await self._client.create(resource)

    async def update(self, resource: R) -> R:
        self._before_write("update", type(resource), "")
        return await self._client.update(resource)

    async def update_status(self, resource: R) -> R:
        self._before_write("update", type(resource), "status")
        return await self._client.update_status(resource)

    async def patch(self, kind: type[R], name: str, patch: Patch, *, namespace: str = "", subresource: str = "") -> R:
        self._before_write("patch", kind, subresource)
        return await self._client.patch(kind, name, patch, namespace=namespace, subresource=subresource)

    async def delete(
        self,
        kind: type[R],
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        resource_version: str = "",
        propagation: str = "Background",
        grace_period_seconds: int | None = None,
    ) -> None:
        self._before_write("delete", kind, "")
        await self._client.delete(
            kind,
            name,
            namespace=namespace,
            uid=uid,
            resource_version=resource_version,
            propagation=propagation,
            grace_period_seconds=grace_period_seconds,
        )
