"""The ClusterClient port over the in-memory server: what the production code sees in a simulation."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from cachecore.errors import Expired
from cachecore.ports import Patch, ResourceList, Watch, WatchEvent, WatchEventType
from cachecore.resources.meta import Resource, only_revision
from cachesim.apiserver.decoded import Decoded
from cachesim.apiserver.options import DeleteOptions, WriteOptions
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.server import ApiServer
from cachesim.apiserver.watch import ServerWatch

R = TypeVar("R", bound=Resource)


class InMemoryWatch(Generic[R]):
    """A watch of typed values."""

    def __init__(self, kind: type[R], watch: ServerWatch, decoded: Decoded) -> None:
        self._kind = kind
        self._watch = watch
        self._decoded = decoded

    async def receive(self) -> WatchEvent[R] | None:
        event = await self._watch.receive()
        if event is None:
            return None
        return WatchEvent(
            type=WatchEventType(event["type"]), resource=_event_resource(self._kind, event, self._decoded)
        )

    async def close(self) -> None:
        await self._watch.close()


class ExpiredWatch(Generic[R]):
    """A watch that began too far back: as over the wire, its reader is told by the first event."""

    def __init__(self, error: Expired) -> None:
        self._error: Expired | None = error

    async def receive(self) -> WatchEvent[R] | None:
        error, self._error = self._error, None
        if error is not None:
            raise error
        return None

    async def close(self) -> None:
        self._error = None


class InMemoryClient:
    """`ClusterClient` on an `ApiServer` in the same process. Nothing is copied on the way out.

    Watches last for `watch_seconds_min` at least, whatever is asked for.
    """

    def __init__(self, server: ApiServer, *, user_agent: str = "localmodel", watch_seconds_min: float = 0.0) -> None:
        self._server = server
        self._watch_seconds_min = watch_seconds_min
        self._options = WriteOptions(user_agent=user_agent)
        self._user_agent = user_agent

    async def get(self, kind: type[R], name: str, namespace: str = "") -> R:
        return self._decode(kind, await self._server.get(self._type(kind), name, namespace))

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
        page = await self._server.list(
            self._type(kind),
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            continue_token=continue_token,
            resource_version=resource_version,
        )
        metadata = page["metadata"]
        return ResourceList(
            items=tuple(self._decode(kind, item) for item in page["items"]),
            resource_version=metadata["resourceVersion"],
            continue_token=metadata.get("continue", ""),
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
        try:
            watch = await self._server.watch(
                self._type(kind),
                resource_version=resource_version,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                timeout_seconds=max(timeout_seconds, self._watch_seconds_min),
            )
        except Expired as error:
            return ExpiredWatch(error)
        return InMemoryWatch(kind, watch, self._server.decoded)

    async def create(self, resource: R) -> R:
        kind = type(resource)
        body = _body(resource)
        answer = await self._server.create(self._type(kind), body, namespace=resource.namespace, options=self._options)
        return self._decode(kind, answer.object)

    async def update(self, resource: R) -> R:
        kind = type(resource)
        answer = await self._server.update(
            self._type(kind), resource.name, _body(resource), namespace=resource.namespace, options=self._options
        )
        return self._decode(kind, answer.object)

    async def update_status(self, resource: R) -> R:
        kind = type(resource)
        resource_type = self._type(kind)
        answer = await self._server.update(
            resource_type,
            resource.name,
            _status_body(resource) if resource_type.custom else _body(resource),
            namespace=resource.namespace,
            subresource="status",
            options=self._options,
        )
        return self._decode(kind, answer.object)

    async def patch(self, kind: type[R], name: str, patch: Patch, *, namespace: str = "", subresource: str = "") -> R:
        options = WriteOptions(user_agent=self._user_agent, field_manager=patch.field_manager, force=patch.force)
        answer = await self._server.patch(
            self._type(kind),
            name,
            patch.type.value,
            patch.body,
            namespace=namespace,
            subresource=subresource,
            options=options,
        )
        return self._decode(kind, answer.object)

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
        options = DeleteOptions(
            grace_period_seconds=grace_period_seconds,
            uid=uid,
            resource_version=resource_version,
            propagation_policy=propagation,
            user_agent=self._user_agent,
        )
        await self._server.delete(self._type(kind), name, namespace=namespace, options=options)

    def _type(self, kind: type[Resource]) -> ResourceType:
        wanted = kind.resource_type
        return self._server.registry.lookup(wanted.group, wanted.version, wanted.plural)

    def _decode(self, kind: type[R], item: JsonObject) -> R:
        return self._server.decoded.get(kind, item)


def _body(resource: Resource) -> JsonObject:
    """The object as a request would carry it: by way of JSON, so that it has JSON's types and no others."""
    resource_type = resource.resource_type
    body: JsonObject = msgspec.json.decode(msgspec.json.encode(resource))
    return {"apiVersion": resource_type.api_version, "kind": resource_type.kind, **body}


def _status_body(resource: Resource) -> JsonObject:
    """What the status subresource of a custom resource reads of the object: encoding the rest would be in vain."""
    metadata, resource_type = resource.metadata, resource.resource_type
    body: JsonObject = {
        "apiVersion": resource_type.api_version,
        "kind": resource_type.kind,
        "metadata": {"name": metadata.name, "uid": metadata.uid, "resourceVersion": metadata.resource_version},
    }
    status = msgspec.json.decode(msgspec.json.encode(getattr(resource, "status", None)))
    if status:
        body["status"] = status
    return body


def _event_resource(kind: type[R], event: JsonObject, decoded: Decoded) -> R:
    if event["type"] != WatchEventType.BOOKMARK:
        return decoded.get(kind, event["object"])
    return only_revision(kind, event["object"]["metadata"]["resourceVersion"])
