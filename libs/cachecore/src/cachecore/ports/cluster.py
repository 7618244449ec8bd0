"""The Kubernetes API, as production code sees it: typed values in, typed values out.

Every verb raises the `ApiError` branch of `cachecore.errors` and nothing else. Only the adapter retries a read; a write
is retried by its caller, who alone knows whether it is safe.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

import msgspec

from cachecore.resources.meta import Resource

R = TypeVar("R", bound=Resource)


class PatchType(enum.StrEnum):
    """The content type of a PATCH, as the API server takes it."""

    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"
    APPLY = "application/apply-patch+yaml"


class Patch(msgspec.Struct, frozen=True, kw_only=True):
    """One PATCH: `body` is the JSON document (an object, or a list of operations for JSON patches)."""

    type: PatchType = PatchType.MERGE
    body: Any
    field_manager: str = ""
    force: bool = False


class ResourceList(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """One page of a list, its resourceVersion, and the token of the next page ("" when it is the last)."""

    items: tuple[R, ...]
    resource_version: str
    continue_token: str = ""


class WatchEventType(enum.StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


class WatchEvent(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """One change. A BOOKMARK's resource carries only its resourceVersion."""

    type: WatchEventType
    resource: R

    @property
    def resource_version(self) -> str:
        return self.resource.metadata.resource_version


BeforeWrite: TypeAlias = Callable[[str, type[Resource], str], None]
"""Asked before a write, with its verb, kind and subresource (mostly ""); raises an `ApiError` to have it not sent."""


class Watch(Protocol[R]):
    """An open watch."""

    async def receive(self) -> WatchEvent[R] | None:
        """The next event; None when the server ended the watch in good order.

        Raises `Expired` when the resourceVersion has been compacted away, `ApiUnavailable` when the connection broke.
        """
        ...

    async def close(self) -> None: ...


class ClusterClient(Protocol):
    """What a controller may ask of the API server."""

    async def get(self, kind: type[R], name: str, namespace: str = "") -> R: ...

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
        """List; `resource_version` "" is a quorum read, "0" whatever the server's cache holds. "" namespace: all."""
        ...

    async def watch(
        self,
        kind: type[R],
        *,
        resource_version: str,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: float = 300.0,
    ) -> Watch[R]: ...

    async def create(self, resource: R) -> R: ...

    async def update(self, resource: R) -> R:
        """Replace all but status. A resourceVersion in the metadata is a precondition."""
        ...

    async def update_status(self, resource: R) -> R: ...

    async def patch(
        self, kind: type[R], name: str, patch: Patch, *, namespace: str = "", subresource: str = ""
    ) -> R: ...

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
        """Delete; `uid` and `resource_version` are preconditions where given (`Conflict` when they fail).

        `grace_period_seconds` is for pods: None leaves it to the pod, 0 takes the object away at once.
        """
        ...


@runtime_checkable
class GuardableClient(Protocol):
    """A client that can ask before a write at a later moment than who calls it could."""

    def guarded(self, before_write: BeforeWrite) -> ClusterClient: ...
