"""Kubernetes Events: what happened to an object, as `kubectl describe` shows it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TypeAlias

import msgspec

from cachecore.errors import LocalModelError, NotFound
from cachecore.ports.cluster import ClusterClient, Patch
from cachecore.ports.runtime import Runtime
from cachecore.resources.core import Event, EventSource, ObjectReference
from cachecore.resources.meta import ObjectMeta, Resource
from cachecore.timestamps import format_timestamp

logger = logging.getLogger(__name__)

# As Kubernetes' own recorder: so many events of one object at once, then one each five minutes.
BURST = 25
REFILL_SECONDS = 300.0
# Beyond these, the newest event waiting is dropped, the oldest one remembered is forgotten.
MOST_WAITING = 1000
MOST_REMEMBERED = 4096

_Key: TypeAlias = tuple[str, ...]


class _Waiting(msgspec.Struct):
    reference: ObjectReference
    type: str
    reason: str
    message: str
    count: int
    first_seconds: float
    last_seconds: float


class _Written(msgspec.Struct):
    name: str
    namespace: str
    count: int


class _Allowance(msgspec.Struct):
    tokens: float
    at_seconds: float


class EventRecorder:
    """Takes events at once and writes them later: equal ones are counted in one Event, floods are cut off.

    Events are news, not state: one that can't be written is logged and dropped.
    """

    def __init__(self, runtime: Runtime, client: ClusterClient, *, component: str, host: str = "") -> None:
        self._runtime = runtime
        self._client = client
        self._component = component
        self._host = host
        self._waiting: OrderedDict[_Key, _Waiting] = OrderedDict()
        self._written: OrderedDict[_Key, _Written] = OrderedDict()
        self._allowances: OrderedDict[str, _Allowance] = OrderedDict()
        self._arrived = runtime.signal()
        self.dropped = 0

    def record(self, resource: Resource, *, type: str, reason: str, message: str) -> None:
        """Note an event of `resource`: `type` is Normal or Warning, `reason` a CamelCase word."""
        now = self._runtime.now()
        reference = _reference(resource)
        key = (*_identity(reference), type, reason, message)
        same = self._waiting.get(key)
        if same is not None:
            same.count += 1
            same.last_seconds = now
            return
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        self._waiting[key] = _Waiting(reference, type, reason, message, 1, now, now)
        self._arrived.set()

    async def run(self) -> None:
        """Write what is recorded, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                key, waiting = self._waiting.popitem(last=False)
                await self._write(key, waiting)

    async def _write(self, key: _Key, waiting: _Waiting) -> None:
        if not self._allowed(waiting.reference):
            self.dropped += 1
            return
        try:
            written = self._written.get(key)
            if written is None or not await self._count_up(written, waiting):
                written = await self._create(waiting)
        except LocalModelError as error:
            self.dropped += 1
            logger.warning(
                "event %s of %s %s was not written: %s",
                waiting.reason,
                waiting.reference.kind,
                waiting.reference.name,
                error,
            )
            return
        self._written[key] = written
        self._written.move_to_end(key)
        if len(self._written) > MOST_REMEMBERED:
            self._written.popitem(last=False)

    async def _count_up(self, written: _Written, waiting: _Waiting) -> bool:
        """Add to an Event that was written before; False when it is gone (the API server keeps them for an hour)."""
        count = written.count + waiting.count
        patch = Patch(body={"count": count, "lastTimestamp": format_timestamp(waiting.last_seconds)})
        try:
            await self._client.patch(Event, written.name, patch, namespace=written.namespace)
        except NotFound:
            return False
        written.count = count
        return True

    async def _create(self, waiting: _Waiting) -> _Written:
        reference = waiting.reference
        # Events of cluster-wide objects live in the namespace `default`.
        namespace = reference.namespace or "default"
        name = f"{reference.name}.{self._runtime.random.getrandbits(64):016x}"
        event = Event(
            metadata=ObjectMeta(name=name, namespace=namespace),
            involved_object=reference,
            type=waiting.type,
            reason=waiting.reason,
            message=waiting.message,
            source=EventSource(component=self._component, host=self._host),
            count=waiting.count,
            first_timestamp=format_timestamp(waiting.first_seconds),
            last_timestamp=format_timestamp(waiting.last_seconds),
            reporting_component=self._component,
            reporting_instance=self._host,
        )
        await self._client.create(event)
        return _Written(name, namespace, waiting.count)

    def _allowed(self, reference: ObjectReference) -> bool:
        """A token bucket for each object."""
        key = "/".join(_identity(reference))
        now = self._runtime.monotonic()
        allowance = self._allowances.pop(key, None) or _Allowance(float(BURST), now)
        refilled = (now - allowance.at_seconds) / REFILL_SECONDS
        allowance = _Allowance(min(float(BURST), allowance.tokens + refilled), now)
        allowed = allowance.tokens >= 1.0
        if allowed:
            allowance.tokens -= 1.0
        self._allowances[key] = allowance
        if len(self._allowances) > MOST_REMEMBERED:
            self._allowances.popitem(last=False)
        return allowed


def _reference(resource: Resource) -> ObjectReference:
    return ObjectReference(
        api_version=resource.resource_type.api_version,
        kind=resource.resource_type.kind,
        name=resource.name,
        namespace=resource.namespace,
        uid=resource.uid,
        resource_version=resource.metadata.resource_version,
    )


def _identity(reference: ObjectReference) -> tuple[str, ...]:
    return (reference.kind, reference.namespace, reference.name, reference.uid)
