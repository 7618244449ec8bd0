"""The CRDs and the Python types say the same: neither has a field, a default or an enum value that the other lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

from cachecore.resources.meta import Resource

Schema = dict[str, Any]

# KServe demands these; in memory an absent one is as good as an empty one.
REQUIRED_BY_THE_API_ALONE = {"spec.persistentVolumeSpec", "spec.persistentVolumeClaimSpec"}


def differences(path: str, declared: inspect.Type, schema: Schema) -> Iterator[str]:
    """What tells the type and the schema apart, in words."""
    if isinstance(declared, inspect.UnionType):
        yield from union_differences(path, declared, schema)
    elif isinstance(declared, inspect.StructType):
        yield from struct_differences(path, declared, schema)
    elif isinstance(declared, inspect.VarTupleType):
        if schema.get("type") != "array":
            yield f"{path}: a tuple, but not an array"
        else:
            yield from differences(f"{path}[]", declared.item_type, schema["items"])
    elif isinstance(declared, inspect.DictType):
        yield from dict_differences(path, declared, schema)
    elif isinstance(declared, inspect.EnumType):
        values = {member.value for member in declared.cls}
        if schema.get("type") != "string" or set(schema.get("enum", ())) != values:
            yield f"{path}: enum {schema.get('enum')} is not {sorted(values)}"
    else:
        names = {inspect.StrType: "string", inspect.IntType: "integer", inspect.BoolType: "boolean"}
        if schema.get("type") != names[type(declared)]:
            yield f"{path}: {schema.get('type')} is no {declared}"


def union_differences(path: str, declared: inspect.UnionType, schema: Schema) -> Iterator[str]:
    parts = [part for part in declared.types if not isinstance(part, inspect.NoneType)]
    if {type(part) for part in parts} == {inspect.StrType, inspect.IntType}:
        if not schema.get("x-kubernetes-int-or-string"):
            yield f"{path}: a quantity, but not int-or-string"
    elif len(parts) == 1:
        yield from differences(path, parts[0], schema)
    else:
        yield f"{path}: this union has no counterpart in a schema"


def dict_differences(path: str, declared: inspect.DictType, schema: Schema) -> Iterator[str]:
    if schema.get("type") != "object":
        yield f"{path}: a dict, but no object"
    elif isinstance(declared.value_type, inspect.AnyType):
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{path}: passed through whole, but unknown fields are pruned"
    elif "additionalProperties" not in schema:
        yield f"{path}: a dict, but without additionalProperties"
    else:
        yield from differences(f"{path}.*", declared.value_type, schema["additionalProperties"])


def struct_differences(path: str, declared: inspect.StructType, schema: Schema) -> Iterator[str]:
    properties: Schema = schema.get("properties", {})
    fields = {field.encode_name: field for field in declared.fields}
    if path == "":
        del fields["metadata"]
        properties = {name: value for name, value in properties.items() if name in ("spec", "status")}
    yield from (f"{path}: {name} is only in the schema" for name in properties.keys() - fields.keys())
    yield from (f"{path}: {name} is only in the type" for name in fields.keys() - properties.keys())
    for name in sorted(fields.keys() & properties.keys()):
        field, below = fields[name], f"{path}.{name}".lstrip(".")
        yield from default_differences(below, field, properties[name], required=name in schema.get("required", ()))
        yield from differences(below, field.type, properties[name])


def default_differences(path: str, field: inspect.Field, schema: Schema, *, required: bool) -> Iterator[str]:
    if "default" in schema:
        default = msgspec.convert(schema["default"], python_type(field.type)) if not field.required else msgspec.UNSET
        if default != default_of(field):
            yield f"{path}: default {schema['default']!r} is not {default_of(field)!r}"
    elif required != field.required and path not in REQUIRED_BY_THE_API_ALONE:
        yield f"{path}: required in the schema: {required}, in the type: {field.required}"
    elif not field.required and is_telling(default_of(field)):
        yield f"{path}: default {default_of(field)!r} is only in the type"


def default_of(field: inspect.Field) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def is_telling(default: Any) -> bool:
    """Whether a default says more than the absence of a value."""
    return bool(msgspec.to_builtins(default))


def python_type(declared: inspect.Type) -> Any:
    if isinstance(declared, inspect.StructType | inspect.EnumType):
        return declared.cls
    if isinstance(declared, inspect.VarTupleType):
        item: Any = python_type(declared.item_type)
        return tuple[item, ...]
    return {inspect.StrType: str, inspect.IntType: int, inspect.BoolType: bool}[type(declared)]


def test_schema_and_type_agree(kind: type[Resource], schema: Schema) -> None:
    assert list(differences("", inspect.type_info(kind), schema)) == []


def test_a_field_that_only_one_side_has_is_found(kind: type[Resource], schema: Schema) -> None:
    changed = {**schema, "properties": {**schema["properties"], "spec": {"type": "object", "properties": {"new": {}}}}}
    found = list(differences("", inspect.type_info(kind), changed))
    assert "spec: new is only in the schema" in found
    assert any("is only in the type" in difference for difference in found)


def test_resource_type_agrees(kind: type[Resource], definition: Schema) -> None:
    spec, resource_type = definition["spec"], kind.resource_type
    assert spec["group"] == resource_type.group
    assert spec["names"]["plural"] == resource_type.plural
    assert (spec["scope"] == "Namespaced") == resource_type.namespaced
    assert [version["name"] for version in spec["versions"]] == [resource_type.version]
    assert definition["metadata"]["name"] == f"{resource_type.plural}.{resource_type.group}"


def test_both_kinds_of_cache_have_one_schema(definitions: dict[str, Schema]) -> None:
    one, other = (definitions[name]["spec"]["versions"][0] for name in ("LocalModelCache", "LocalModelNamespaceCache"))
    assert one["additionalPrinterColumns"] == other["additionalPrinterColumns"]
    properties = one["schema"]["openAPIV3Schema"]["properties"], other["schema"]["openAPIV3Schema"]["properties"]
    assert properties[0]["spec"] == properties[1]["spec"]
    assert properties[0]["status"] == properties[1]["status"]
