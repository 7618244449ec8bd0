"""meta.k8s.io/v1 Tables: what `kubectl get` shows, made by the server."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import msgspec

from cachecore.errors import InvalidInput
from cachecore.timestamps import parse_timestamp
from cachesim.apiserver.errors import bad_request, quote
from cachesim.apiserver.http.columns import BUILTIN_TABLES, Cells, Column, age
from cachesim.apiserver.http.jsonpath import find
from cachesim.apiserver.resources import JsonObject, PrinterColumn, ResourceType

_INCLUDES = ("", "Metadata", "Object", "None")
_CHOICES = [f"'{include}'" for include in _INCLUDES if include]
_NAME = Column("Name", "string", "name", "Name must be unique within a namespace.")
_AGE = Column("Age", "date", "", "When the object was created.")


class TableRequest(msgspec.Struct, frozen=True):
    """How a client asked for a Table: its version, and how much of each object a row carries."""

    version: str = "v1"
    include: str = "Metadata"


class Printer:
    """Turns the objects of one kind into rows."""

    def __init__(self, resource_type: ResourceType, request: TableRequest, now: Callable[[], float]) -> None:
        if request.include not in _INCLUDES:
            fault = f"includeObject: Invalid value: {quote(request.include)}: must be {', '.join(_CHOICES)}, or empty"
            raise bad_request(f"Unable to convert to Table as requested: {fault}")
        self._request = request
        self._now = now
        self._columns, self._cells = _layout(resource_type)

    def table(self, items: list[JsonObject], metadata: JsonObject, *, with_columns: bool = True) -> JsonObject:
        """A Table of `items`; `metadata` is that of the list, or of the one object."""
        now = self._now()
        rows = [{"cells": self._cells(item, now), "object": self._attached(item)} for item in items]
        return {
            "kind": "Table",
            "apiVersion": f"meta.k8s.io/{self._request.version}",
            "metadata": metadata,
            "columnDefinitions": [column.definition() for column in self._columns] if with_columns else None,
            "rows": rows,
        }

    def of_list(self, content: JsonObject) -> JsonObject:
        return self.table(content["items"], content["metadata"])

    def of_object(self, item: JsonObject, *, with_columns: bool = True) -> JsonObject:
        metadata = {"resourceVersion": item.get("metadata", {}).get("resourceVersion", "")}
        return self.table([item], metadata, with_columns=with_columns)

    def _attached(self, item: JsonObject) -> JsonObject | None:
        if self._request.include == "None":
            return None
        return item if self._request.include == "Object" else partial(item, self._request.version)


def partial(item: JsonObject, version: str = "v1") -> JsonObject:
    """The object's PartialObjectMetadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": item.get("metadata", {}),
    }


def partial_list(content: JsonObject, version: str = "v1") -> JsonObject:
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": content["metadata"],
        "items": [partial(item, version) for item in content["items"]],
    }


def _layout(resource_type: ResourceType) -> tuple[tuple[Column, ...], Cells]:
    builtin = BUILTIN_TABLES.get((resource_type.group, resource_type.kind))
    if builtin is not None:
        return builtin
    if not resource_type.printer_columns:
        return (_NAME, _AGE), _name_and_age
    columns = tuple(
        Column(column.name, column.type, column.format, column.description or _described(column), column.priority)
        for column in resource_type.printer_columns
    )
    return (_NAME, *columns), functools.partial(_printed, resource_type.printer_columns)


def _described(column: PrinterColumn) -> str:
    return f"Custom resource definition column (in JSONPath format): {column.json_path}"


def _name_and_age(item: JsonObject, now: float) -> list[Any]:
    return [item["metadata"].get("name", ""), age(item["metadata"].get("creationTimestamp"), now)]


def _printed(columns: tuple[PrinterColumn, ...], item: JsonObject, now: float) -> list[Any]:
    return [item["metadata"].get("name", ""), *(_cell(column, item, now) for column in columns)]


def _cell(column: PrinterColumn, item: JsonObject, now: float) -> Any:
    """As apiextensions prints it: nothing for what is absent or of another type than the column declares."""
    try:
        values = find(item, column.json_path)
    except InvalidInput:
        return None
    if not values or values[0] is None:
        return None
    value = values[0]
    if column.type == "date":
        return _date(value, now)
    if column.type == "integer":
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if column.type == "number":
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if column.type == "boolean":
        return value if isinstance(value, bool) else None
    return _text(values)


def _date(value: Any, now: float) -> str:
    try:
        parse_timestamp(str(value))
    except ValueError:
        return "<unknown>"
    return age(str(value), now)


def _text(values: list[Any]) -> str:
    """One value as it is, several in the order found, as Go's JSONPath printer joins them."""
    return " ".join(value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in values)
