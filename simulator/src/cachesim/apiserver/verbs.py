"""The verbs of an API server over plain objects, whichever server it is."""

from __future__ import annotations

from typing import Any, Protocol

from cachesim.apiserver.options import Answer, DeleteOptions, WriteOptions
from cachesim.apiserver.resources import JsonObject, ResourceType


class RawWatch(Protocol):
    async def receive(self) -> JsonObject | None: ...

    async def close(self) -> None: ...


class RawVerbs(Protocol):
    """The verbs over plain objects; `ApiServer` has them itself. Every failure is an `ApiError`."""

    async def get(self, resource_type: ResourceType, name: str, namespace: str = "") -> JsonObject: ...

    async def list(
        self,
        resource_type: ResourceType,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> JsonObject: ...

    async def watch(
        self,
        resource_type: ResourceType,
        *,
        resource_version: str = "",
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        allow_bookmarks: bool = True,
        send_initial_events: bool = False,
        timeout_seconds: float = 300.0,
    ) -> RawWatch: ...

    async def create(
        self,
        resource_type: ResourceType,
        body: JsonObject,
        *,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        options: WriteOptions = ...,
    ) -> Answer: ...

    async def update(
        self,
        resource_type: ResourceType,
        name: str,
        body: JsonObject,
        *,
        namespace: str = "",
        subresource: str = "",
        options: WriteOptions = ...,
    ) -> Answer: ...

    async def patch(
        self,
        resource_type: ResourceType,
        name: str,
        patch_type: str,
        body: Any,
        *,
        namespace: str = "",
        subresource: str = "",
        options: WriteOptions = ...,
    ) -> Answer: ...

    async def delete(
        self, resource_type: ResourceType, name: str, *, namespace: str = "", options: DeleteOptions = ...
    ) -> Answer: ...

    async def delete_collection(
        self,
        resource_type: ResourceType,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        options: DeleteOptions = ...,
    ) -> Answer: ...
