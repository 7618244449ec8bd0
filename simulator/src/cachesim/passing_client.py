"""A ClusterClient around another one: every verb goes through one place, which may delay it, refuse it, or do it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from cachecore.ports import ClusterClient, Patch, ResourceList, Watch
from cachecore.resources.meta import Resource

R = TypeVar("R", bound=Resource)
T = TypeVar("T")


class PassingClient:
    """`through` is told the verb and what it is about: `update LocalModelNode/node-1`, `list Pod`."""

    def __init__(self, client: ClusterClient) -> None:
        self._client = client

    def through(self, verb: str, subject: str, call: Callable[[], Coroutine[Any, Any, T]]) -> Coroutine[Any, Any, T]:
        """Make the call, or do not."""
        raise NotImplementedError

    def watched(self, watch: Watch[R]) -> Watch[R]:
        """A watch that was opened, as its reader gets it."""
        raise NotImplementedError

    def get(self, kind: type[R], name: str, namespace: str = "") -> Coroutine[Any, Any, R]:
        return self.through("get", _subject(kind, name), lambda: self._client.get(kind, name, namespace))

    def list(
        self,
        kind: type[R],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> Coroutine[Any, Any, ResourceList[R]]:
        return self.through(
            "list",
            kind.resource_type.kind,
            lambda: self._client.list(
                kind,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                limit=limit,
                continue_token=continue_token,
                resource_version=resource_version,
            ),
        )

    def watch(
        self,
        kind: type[R],
        *,
        resource_version: str,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: float = 300.0,
    ) -> Coroutine[Any, Any, Watch[R]]:
        async def open_watch() -> Watch[R]:
            watch = await self._client.watch(
                kind,
                resource_version=resource_version,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                timeout_seconds=timeout_seconds,
            )
            return self.watched(watch)

        return self.through("watch", kind.resource_type.kind, open_watch)

    def create(self, resource: R) -> Coroutine[Any, Any, R]:
        subject = _subject(type(resource), resource.name)
        return self.through("create", subject, lambda: self._client.create(resource))

    def update(self, resource: R) -> Coroutine[Any, Any, R]:
        subject = _subject(type(resource), resource.name)
        return self.through("update", subject, lambda: self._client.update(resource))

    def update_status(self, resource: R) -> Coroutine[Any, Any, R]:
        subject = _subject(type(resource), resource.name)
        return self.through("update_status", subject, lambda: self._client.update_status(resource))

    def patch(
        self, kind: type[R], name: str, patch: Patch, *, namespace: str = "", subresource: str = ""
    ) -> Coroutine[Any, Any, R]:
        return self.through(
            "patch",
            _subject(kind, name),
            lambda: self._client.patch(kind, name, patch, namespace=namespace, subresource=subresource),
        )

    def delete(
        self,
        kind: type[R],
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        resource_version: str = "",
        propagation: str = "Background",
        grace_period_seconds: int | None = None,
    ) -> Coroutine[Any, Any, None]:
        return self.through(
            "delete",
            _subject(kind, name),
            lambda: self._client.delete(
                kind,
                name,
                namespace=namespace,
                uid=uid,
                resource_version=resource_version,
                propagation=propagation,
                grace_period_seconds=grace_period_seconds,
            ),
        )


def _subject(kind: type[Resource], name: str) -> str:
    # Events have random names: what they are about is not a site.
    plural = kind.resource_type.kind
    return plural if plural == "Event" else f"{plural}/{name}"
