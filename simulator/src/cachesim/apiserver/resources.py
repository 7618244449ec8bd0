"""The kinds that the server knows: where they live in the API and how they behave."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from cachesim.apiserver.errors import resource_not_found
from cachesim.apiserver.left_out import refuse_kind

JsonObject: TypeAlias = dict[str, Any]


class PrinterColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column of `kubectl get`: `json_path` as a CRD spells it (`.status.phase`); priority 1 is for `-o wide`."""

    name: str
    type: str
    json_path: str
    format: str = ""
    description: str = ""
    priority: int = 0


class ResourceType(msgspec.Struct, frozen=True, kw_only=True):
    """One kind. `group` is "" for the core group; `schema` is the OpenAPI v3 schema of a custom resource."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    printer_columns: tuple[PrinterColumn, ...] = ()
    schema: JsonObject | None = None
    custom: bool = False
    tracks_generation: bool = False
    allows_unconditional_update: bool = True
    field_selectors: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified_plural(self) -> str:
        """The name that errors use: `localmodelcaches.serving.kserve.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def list_kind(self) -> str:
        return f"{self.kind}List"

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources


class ResourceRegistry:
    """Every kind that is served, in the order of registration."""

    def __init__(self, types: tuple[ResourceType, ...] = ()) -> None:
        self._by_plural: dict[tuple[str, str, str], ResourceType] = {}
        self._by_kind: dict[tuple[str, str, str], ResourceType] = {}
        self.generation = 0
        for resource_type in types:
            self.register(resource_type)

    def register(self, resource_type: ResourceType) -> None:
        """Add a kind, or replace the one of the same group, version and plural."""
        self._by_plural[(resource_type.group, resource_type.version, resource_type.plural)] = resource_type
        self._by_kind[(resource_type.group, resource_type.version, resource_type.kind)] = resource_type
        self.generation += 1

    def unregister(self, resource_type: ResourceType) -> None:
        self._by_plural.pop((resource_type.group, resource_type.version, resource_type.plural), None)
        self._by_kind.pop((resource_type.group, resource_type.version, resource_type.kind), None)
        self.generation += 1

    def find(self, group: str, version: str, plural: str) -> ResourceType | None:
        return self._by_plural.get((group, version, plural))

    def find_kind(self, group: str, version: str, kind: str) -> ResourceType | None:
        return self._by_kind.get((group, version, kind))

    def find_api_version(self, api_version: str, kind: str) -> ResourceType | None:
        """By an object's own `apiVersion` and `kind`."""
        group, _, version = api_version.rpartition("/")
        return self.find_kind(group, version, kind)

    def lookup(self, group: str, version: str, plural: str) -> ResourceType:
        """Raises NotFound, worded as the real server words an unknown path; a 501 for what is left out here."""
        found = self.find(group, version, plural)
        if found is None:
            refuse_kind(group, plural)
            raise resource_not_found()
        return found

    def all(self) -> tuple[ResourceType, ...]:
        return tuple(self._by_plural.values())
