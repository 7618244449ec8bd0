"""What every part of the server shares: store, watches, kinds, the clock, admission."""

from __future__ import annotations

from typing import Protocol

import msgspec

from cachecore.ports import Runtime
from cachesim.apiserver.errors import FieldError
from cachesim.apiserver.options import WriteOptions
from cachesim.apiserver.resources import JsonObject, ResourceRegistry, ResourceType
from cachesim.apiserver.store import Store
from cachesim.apiserver.watch import WatchHub


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One write on its way to the store, as admission sees it. `operation` is CREATE, UPDATE or DELETE."""

    operation: str
    resource_type: ResourceType
    namespace: str
    name: str
    subresource: str
    item: JsonObject | None
    previous: JsonObject | None
    options: WriteOptions


class WebhookFailure(Exception):
    """The webhook could not be asked, or gave no answer that can be read. Callers raise it; failurePolicy decides."""


class AdmissionChain(Protocol):
    """Mutating, then validating webhooks. Both raise the webhook's denial and return the warnings."""

    async def mutate(self, attempt: Attempt) -> tuple[JsonObject, tuple[str, ...]]: ...

    async def validate(self, attempt: Attempt) -> tuple[str, ...]: ...

    def concerns(self, resource_type: ResourceType) -> bool:
        """Whether any webhook is configured at all; False spares the two calls."""
        ...


class KindRules(Protocol):
    """What a schema says of its objects."""

    def decode(self, item: JsonObject, previous: JsonObject | None) -> tuple[JsonObject, list[str]]:
        """The object pruned and defaulted, and the paths of the unknown fields that went.

        What it shares with `previous`, the stored object, has been through this before and is taken as it is.
        """
        ...

    def validate(self, item: JsonObject, previous: JsonObject | None) -> list[FieldError]: ...


class RulesSource(Protocol):
    def rules(self, resource_type: ResourceType) -> KindRules | None: ...


class FieldTracker(Protocol):
    """Keeps metadata.managedFields: who set which field."""

    def track(self, attempt: Attempt, item: JsonObject) -> JsonObject:
        """The object with managedFields brought up to date for a write that is not an apply."""
        ...


class Context:
    """The parts, wired by `ApiServer`."""

    def __init__(
        self,
        runtime: Runtime,
        store: Store,
        hub: WatchHub,
        registry: ResourceRegistry,
        rules: RulesSource,
        admission: AdmissionChain | None,
        tracker: FieldTracker | None,
    ) -> None:
        self.runtime = runtime
        self.store = store
        self.hub = hub
        self.registry = registry
        self.rules = rules
        self.admission = admission
        self.tracker = tracker
