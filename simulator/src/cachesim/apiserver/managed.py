"""metadata.managedFields: who set which field, by which operation."""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from cachecore.ports import Runtime
from cachecore.timestamps import format_timestamp
from cachesim.apiserver.context import Attempt
from cachesim.apiserver.fieldsets import FieldSet, compare, from_fields_v1, to_fields_v1
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.shapes import Shape, shape_of

_UNTRACKED_METADATA = frozenset(
    {
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    }
)


class Manager(msgspec.Struct, frozen=True):
    """One writer by one operation ("Apply" or "Update") on one (sub)resource."""

    name: str
    operation: str
    subresource: str
    api_version: str


Owners = dict[Manager, tuple[str, FieldSet]]


class ManagedFields:
    """Reads and writes the owners of an object's fields."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._shapes: dict[int, tuple[ResourceType, Shape]] = {}

    def shape(self, resource_type: ResourceType) -> Shape:
        """The root shape of the kind, made once."""
        found = self._shapes.get(id(resource_type))
        if found is None:
            found = self._shapes[id(resource_type)] = (resource_type, shape_of(resource_type))
        return found[1]

    def now(self) -> str:
        return format_timestamp(self._runtime.now())

    def track(self, attempt: Attempt, item: JsonObject) -> JsonObject:
        """The object with its owners after a create or an update: the writer owns what it changed, others lose it."""
        previous: JsonObject = attempt.previous if attempt.previous is not None else {"metadata": {}}
        if item is attempt.previous:
            return item
        difference = compare(trackable(previous), trackable(item), self.shape(attempt.resource_type))
        if not difference.changed and not difference.removed:
            return item
        manager = Manager(
            attempt.options.field_manager or default_manager(attempt.options.user_agent),
            "Update",
            attempt.subresource,
            attempt.resource_type.api_version,
        )
        if previous["metadata"].get("managedFields") and not item["metadata"].get("managedFields"):
            # Somebody has just cleared them.
            previous = {**previous, "metadata": {}}
        owners: Owners = {}
        touched = {**difference.changed, **difference.removed}
        own: FieldSet = {}
        for each, (time, fields) in self.owners(previous).items():
            if each == manager:
                own = fields
                continue
            kept = {path: None for path in fields if path not in touched}
            if kept:
                owners[each] = (time, kept)
        mine = {path: None for path in {**own, **difference.changed} if path not in difference.removed}
        if mine:
            owners[manager] = (self.now(), mine)
        return with_owners(item, owners)

    def owners(self, item: JsonObject) -> Owners:
        """The owners, in the order in which the object lists them."""
        owners: Owners = {}
        for entry in item["metadata"].get("managedFields") or []:
            manager = Manager(
                entry.get("manager", ""),
                entry.get("operation", ""),
                entry.get("subresource", ""),
                entry.get("apiVersion", ""),
            )
            owners[manager] = (entry.get("time", ""), from_fields_v1(entry.get("fieldsV1") or {}))
        return owners


@functools.lru_cache(maxsize=1024)
def default_manager(user_agent: str) -> str:
    """Who writes without a name of its own is called by the first part of its user agent."""
    return user_agent.split("/", 1)[0][:128] or "unknown"


def trackable(item: JsonObject) -> JsonObject:
    """The object without what nobody can own."""
    tracked = {key: value for key, value in item.items() if key not in ("apiVersion", "kind", "metadata")}
    metadata = {key: value for key, value in item["metadata"].items() if key not in _UNTRACKED_METADATA}
    if metadata:
        tracked["metadata"] = metadata
    return tracked


def with_owners(item: JsonObject, owners: Owners) -> JsonObject:
    """The object with its managedFields replaced; none at all when nobody owns anything."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    if owners:
        metadata["managedFields"] = [_entry(manager, time, fields) for manager, (time, fields) in owners.items()]
    return {**item, "metadata": metadata}


def _entry(manager: Manager, time: str, fields: FieldSet) -> JsonObject:
    entry: dict[str, Any] = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": to_fields_v1(fields),
    }
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry
