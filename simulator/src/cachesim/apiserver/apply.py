"""Server-side apply: merge a configuration into the object, and keep the books of who owns what."""

from __future__ import annotations

from typing import Any

from cachecore.errors import ApiError, Conflict
from cachesim.apiserver.bodies import typed_body
from cachesim.apiserver.context import Context
from cachesim.apiserver.errors import conflict, invalid, invalid_object, quote, with_details
from cachesim.apiserver.fieldsets import FieldSet, Path, compare, display, is_keyed, item_key, leaves, value_key
from cachesim.apiserver.managed import ManagedFields, Manager, Owners, trackable, with_owners
from cachesim.apiserver.options import Answer, WriteOptions
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.shapes import Shape
from cachesim.apiserver.sharing import share
from cachesim.apiserver.writes import Writer


class Applier:
    """The apply patch."""

    def __init__(self, context: Context, writer: Writer, managed: ManagedFields) -> None:
        self._context = context
        self._writer = writer
        self._managed = managed

    async def create(
        self, resource_type: ResourceType, name: str, namespace: str, body: JsonObject, options: WriteOptions
    ) -> Answer:
        """Applying what is not there creates it, owned by the applier."""
        body = typed_body(resource_type, body)
        metadata = {**(body.get("metadata") or {}), "name": name}
        if metadata.get("uid"):
            cause = (
                f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing object was found"
            )
            raise conflict(resource_type, name, cause)
        configuration = {**body, "metadata": metadata}
        fields = self._applied(resource_type, configuration, "")
        manager = Manager(options.field_manager, "Apply", "", resource_type.api_version)
        owned = with_owners(configuration, {manager: (self._managed.now(), fields)})
        return await self._writer.create(resource_type, owned, namespace, options, tracked=False)

    async def modify(
        self,
        resource_type: ResourceType,
        name: str,
        namespace: str,
        subresource: str,
        body: JsonObject,
        options: WriteOptions,
    ) -> Answer:
        """Raises Conflict naming every field that another manager owns and the configuration would change."""

        def applied(current: JsonObject) -> JsonObject:
            return self._applied_to(resource_type, subresource, body, current, options)

        return await self._writer.modify(resource_type, name, namespace, subresource, applied, options, tracked=False)

    def _applied_to(
        self,
        resource_type: ResourceType,
        subresource: str,
        body: JsonObject,
        current: JsonObject,
        options: WriteOptions,
    ) -> JsonObject:
        body = typed_body(resource_type, body)
        configuration = {**body, "metadata": body.get("metadata") or {}}
        self._check_uid(resource_type, configuration, current)
        shape = self._managed.shape(resource_type)
        manager = Manager(options.field_manager, "Apply", subresource, resource_type.api_version)
        owners = self._managed.owners(current)
        before = owners.get(manager, ("", {}))
        fields = self._applied(resource_type, configuration, subresource)
        merged = share(_merge(current, _only(configuration, subresource), shape), current)
        changed = compare(trackable(current), trackable(merged), shape).changed
        owners = self._without_conflicts(resource_type, current, owners, manager, changed, options)
        merged = self._without_abandoned(merged, shape, owners, manager, before[1], fields)
        merged = share(merged, current)
        same = merged is current and fields == before[1]
        owners[manager] = (before[0] if same else self._managed.now(), fields)
        return merged if same else with_owners(merged, owners)

    def _check_uid(self, resource_type: ResourceType, configuration: JsonObject, current: JsonObject) -> None:
        uid = configuration["metadata"].get("uid")
        if uid and uid != current["metadata"]["uid"]:
            fault = invalid("metadata.uid", uid, "field is immutable")
            raise invalid_object(resource_type, current["metadata"]["name"], [fault])

    def _applied(self, resource_type: ResourceType, configuration: JsonObject, subresource: str) -> FieldSet:
        """What the configuration sets, less what this (sub)resource would ignore."""
        found = leaves(trackable(configuration), self._managed.shape(resource_type))
        if subresource == "status":
            return {path: None for path in found if path[0] == "f:status"}
        if resource_type.has_status:
            return {path: None for path in found if path[0] != "f:status"}
        return found

    def _without_conflicts(
        self,
        resource_type: ResourceType,
        current: JsonObject,
        owners: Owners,
        manager: Manager,
        changed: FieldSet,
        options: WriteOptions,
    ) -> Owners:
        found: list[tuple[Manager, Path]] = []
        kept: Owners = {}
        for each, (time, fields) in owners.items():
            if each == manager:
                kept[each] = (time, fields)
                continue
            lost = [path for path in sorted(fields) if path in changed]
            found.extend((each, path) for path in lost)
            remaining = {path: None for path in fields if path not in changed}
            if remaining:
                kept[each] = (time, remaining)
        if found and not options.force:
            raise _apply_conflict(found)
        return kept

    def _without_abandoned(
        self,
        merged: JsonObject,
        shape: Shape,
        owners: Owners,
        manager: Manager,
        before: FieldSet,
        fields: FieldSet,
    ) -> JsonObject:
        """Remove what this manager applied before, applies no more, and nobody else owns."""
        elsewhere: FieldSet = {}
        for each, (_, owned) in owners.items():
            if each != manager:
                elsewhere.update(owned)
        kept = {**elsewhere, **fields}
        # An item goes before its fields: without them it could no longer be found.
        for path in sorted(before, key=len):
            if path not in fields and not any(other[: len(path)] == path for other in kept):
                merged = _remove(merged, shape, path)
        return merged


def _only(configuration: JsonObject, subresource: str) -> JsonObject:
    """What an apply to a subresource may change."""
    if not subresource:
        return configuration
    return {key: value for key, value in configuration.items() if key in ("apiVersion", "kind", subresource)} | {
        "metadata": {}
    }


def _merge(live: Any, applied: Any, shape: Shape) -> Any:
    if isinstance(live, dict) and isinstance(applied, dict) and not shape.atomic:
        merged = dict(live)
        for field, value in applied.items():
            merged[field] = _merge(live[field], value, shape.child(field)) if field in live else value
        return merged
    if is_keyed(live, shape) and is_keyed(applied, shape):
        return _merge_items(live, applied, shape)
    if shape.is_set and isinstance(live, list) and isinstance(applied, list):
        return [*live, *(value for value in applied if value not in live)]
    return applied


def _merge_items(live: list[Any], applied: list[Any], shape: Shape) -> list[Any]:
    """Live items keep their places; new ones follow in the order of the configuration."""
    wanted = {item_key(item, shape): item for item in applied}
    inside = shape.item()
    merged = [
        _merge(item, wanted.pop(key), inside) if (key := item_key(item, shape)) in wanted else item for item in live
    ]
    return [*merged, *wanted.values()]


def _remove(value: Any, shape: Shape, path: Path) -> Any:
    """The value without that path. What becomes empty by it goes too, as with the real server's items and maps."""
    element, rest = path[0], path[1:]
    if element.startswith("f:") and isinstance(value, dict):
        field = element[2:]
        if field not in value:
            return value
        if not rest:
            return {key: inner for key, inner in value.items() if key != field}
        inner = _remove(value[field], shape.child(field), rest)
        if inner in ({}, []) and value[field] not in ({}, []):
            return {key: each for key, each in value.items() if key != field}
        return {**value, field: inner}
    if not isinstance(value, list):
        return value
    kept = []
    for item in value:
        name = item_key(item, shape) if element.startswith("k:") and isinstance(item, dict) else value_key(item)
        if name != element:
            kept.append(item)
        elif rest:
            kept.append(_remove(item, shape.item(), rest))
    return kept


def _apply_conflict(found: list[tuple[Manager, Path]]) -> ApiError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_printed(manager)}",
            "field": display(path),
        }
        for manager, path in found
    ]
    if len(found) == 1:
        manager, path = found[0]
        message = f"Apply failed with 1 conflict: conflict with {_printed(manager)}: {display(path)}"
    else:
        lines: list[str] = []
        for manager in sorted({manager for manager, _ in found}, key=lambda each: (each.name, each.operation)):
            lines.append(f"conflicts with {_printed(manager)}:")
            lines += [f"- {display(path)}" for each, path in found if each == manager]
        message = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
    return with_details(Conflict(message), {"causes": causes})


def _printed(manager: Manager) -> str:
    name = quote(manager.name)
    if manager.subresource:
        name += f' with subresource "{manager.subresource}"'
    return name if manager.operation == "Apply" else f"{name} using {manager.api_version}"
