"""CustomResourceDefinitions: what registering a kind takes, and what its objects are held to."""

from __future__ import annotations

from cachecore.ports import Runtime
from cachesim.apiserver.builtin import CUSTOM_RESOURCE_DEFINITION
from cachesim.apiserver.builtin_rules import builtin_rules
from cachesim.apiserver.context import KindRules
from cachesim.apiserver.definition_rules import DefinitionRules
from cachesim.apiserver.resources import JsonObject, PrinterColumn, ResourceRegistry, ResourceType
from cachesim.apiserver.rules import SchemaRules
from cachesim.apiserver.store import Change, Store
from cachesim.apiserver.watch import WatchHub


class Definitions:
    """Keeps the registry equal to the stored definitions, and compiles their schemas, once each."""

    def __init__(self, registry: ResourceRegistry, store: Store, hub: WatchHub, runtime: Runtime) -> None:
        self._registry = registry
        self._hub = hub
        self._rules: dict[int, tuple[ResourceType, KindRules | None]] = {}
        store.listen(self._observe)

    def rules(self, resource_type: ResourceType) -> KindRules | None:
        """The rules of a kind; None for the built-in kinds, whose objects are stored as they come."""
        found = self._rules.get(id(resource_type))
        if found is None:
            found = self._rules[id(resource_type)] = (resource_type, self._compiled(resource_type))
        return found[1]

    def _compiled(self, resource_type: ResourceType) -> KindRules | None:
        if resource_type == CUSTOM_RESOURCE_DEFINITION:
            return DefinitionRules()
        if not resource_type.custom:
            return builtin_rules(resource_type)
        return SchemaRules(resource_type.schema) if resource_type.schema is not None else None

    def _observe(self, change: Change) -> None:
        if change.resource_type.qualified_plural != CUSTOM_RESOURCE_DEFINITION.qualified_plural:
            return
        previous = change.previous
        if change.type == "DELETED":
            for resource_type in types_of(change.item):
                self._registry.unregister(resource_type)
                self._hub.close_all(resource_type)
        elif previous is None or previous["spec"] is not change.item["spec"]:
            for resource_type in types_of(change.item):
                self._registry.register(resource_type)


def types_of(definition: JsonObject) -> list[ResourceType]:
    """The kinds that a definition serves: one for each served version."""
    return [
        _type_of(definition["spec"], version) for version in definition["spec"]["versions"] if version.get("served")
    ]


def _type_of(spec: JsonObject, version: JsonObject) -> ResourceType:
    names = spec["names"]
    columns = tuple(
        PrinterColumn(
            name=column["name"],
            type=column["type"],
            json_path=column["jsonPath"],
            format=column.get("format", ""),
            description=column.get("description", ""),
            priority=column.get("priority", 0),
        )
        for column in version.get("additionalPrinterColumns") or ()
    )
    return ResourceType(
        group=spec["group"],
        version=version["name"],
        kind=names["kind"],
        plural=names["plural"],
        singular=names.get("singular", names["kind"].lower()),
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        subresources=tuple(sorted(version.get("subresources") or ())),
        categories=tuple(names.get("categories") or ()),
        printer_columns=columns or (PrinterColumn(name="Age", type="date", json_path=".metadata.creationTimestamp"),),
        schema=(version.get("schema") or {}).get("openAPIV3Schema"),
        custom=True,
        tracks_generation=True,
        allows_unconditional_update=False,
        field_selectors=tuple(each["jsonPath"].lstrip(".") for each in version.get("selectableFields") or ()),
    )


def default_definition(item: JsonObject) -> JsonObject:
    """The names that may be left out."""
    spec = item.get("spec") or {}
    names = spec.get("names") or {}
    kind = names.get("kind")
    if not kind:
        return item
    filled = {"singular": kind.lower(), "listKind": f"{kind}List"}
    missing = {key: value for key, value in filled.items() if not names.get(key)}
    conversion = {} if spec.get("conversion") else {"conversion": {"strategy": "None"}}
    if not missing and not conversion:
        return item
    return {**item, "spec": {**spec, "names": {**names, **missing}, **conversion}}


def new_definition(item: JsonObject) -> JsonObject:
    """With the status that the real server's controllers give a definition a moment after its creation."""
    spec, when = item.get("spec") or {}, item["metadata"].get("creationTimestamp")
    conditions = [
        {
            "type": "NamesAccepted",
            "status": "True",
            "reason": "NoConflicts",
            "message": "no conflicts found",
            "lastTransitionTime": when,
        },
        {
            "type": "Established",
            "status": "True",
            "reason": "InitialNamesAccepted",
            "message": "the initial names have been accepted",
            "lastTransitionTime": when,
        },
    ]
    stored = [version["name"] for version in spec.get("versions") or [] if version.get("storage")]
    status = {"conditions": conditions, "acceptedNames": spec.get("names") or {}, "storedVersions": stored}
    return {**item, "status": status}
