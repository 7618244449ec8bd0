"""What makes a CustomResourceDefinition acceptable."""

from __future__ import annotations

import re

from cachesim.apiserver.cel import RuleError
from cachesim.apiserver.errors import FieldError, forbidden_field, invalid, required, unsupported
from cachesim.apiserver.left_out import refuse_definition
from cachesim.apiserver.metadata import prune_metadata
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.schema import SchemaNode, compiled
from cachesim.apiserver.validation import validate

_LABEL = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_LABEL_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_APPROVAL = "api-approved.kubernetes.io"
_PROTECTED = (".k8s.io", ".kubernetes.io")


class DefinitionRules:
    """The rules of the kind CustomResourceDefinition."""

    def decode(self, item: JsonObject, previous: JsonObject | None) -> tuple[JsonObject, list[str]]:
        unknown: list[str] = []
        return prune_metadata(item, unknown), unknown

    def validate(self, item: JsonObject, previous: JsonObject | None) -> list[FieldError]:
        spec = item.get("spec") or {}
        if previous is not None and previous["spec"] is spec:
            return []
        refuse_definition(item)
        errors = [required(f"spec.{field}") for field in ("group", "names", "scope", "versions") if not spec.get(field)]
        if errors:
            return errors
        errors = _spec_errors(spec) + _name_errors(item, spec)
        several = len(spec["versions"]) > 1
        for index, version in enumerate(spec["versions"]):
            # A definition of one version has, inside a real server, its schema in the place of older days.
            path = f"spec.versions[{index}].schema" if several else "spec.validation"
            errors += _schema_errors(version, f"{path}.openAPIV3Schema")
        return errors


def _spec_errors(spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    if spec["scope"] not in ("Cluster", "Namespaced"):
        errors.append(unsupported("spec.scope", spec["scope"], ["Cluster", "Namespaced"]))
    if spec.get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        errors.append(invalid("spec.preserveUnknownFields", True, detail))
    if sum(1 for version in spec["versions"] if version.get("storage")) != 1:
        versions = [version.get("name") for version in spec["versions"]]
        errors.append(invalid("spec.versions", versions, "must have exactly one version marked as storage version"))
    for version in spec["versions"]:
        for index, column in enumerate(version.get("additionalPrinterColumns") or []):
            path = f"spec.additionalPrinterColumns[{index}].JSONPath"
            if not str(column.get("jsonPath", "")).startswith("."):
                detail = "must be a simple json path starting with ."
                errors.append(invalid(path, column.get("jsonPath", ""), detail))
    return errors


def _name_errors(item: JsonObject, spec: JsonObject) -> list[FieldError]:
    names, metadata, group = spec["names"], item["metadata"], spec["group"]
    errors = [required(f"spec.names.{field}") for field in ("plural", "kind") if not names.get(field)]
    for field in ("plural", "singular", "kind", "listKind"):
        name = names.get(field) or ""
        if name and not _LABEL.match(name.lower()):
            errors.append(invalid(f"spec.names.{field}", name, _LABEL_RULE))
    if metadata["name"] != f"{names.get('plural')}.{group}":
        detail = 'must be spec.names.plural+"."+spec.group'
        errors.append(invalid("metadata.name", metadata["name"], detail))
    if f".{group}".endswith(_PROTECTED) and not (metadata.get("annotations") or {}).get(_APPROVAL):
        detail = (
            f'protected groups must have approval annotation "{_APPROVAL}", '
            "see https://github.com/kubernetes/enhancements/pull/1111"
        )
        errors.append(required(f"metadata.annotations[{_APPROVAL}]", detail))
    return errors


def _schema_errors(version: JsonObject, path: str) -> list[FieldError]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        return [required(path, "schemas are required")]
    errors: list[FieldError] = []
    _check_structure(schema, path, errors)
    if errors:
        return errors
    try:
        node = compiled(schema)
    except RuleError as error:
        return [invalid(f"{path}.x-kubernetes-validations", "", str(error))]
    _check_defaults(node, path, errors)
    return errors


def _check_structure(schema: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Every position has a type, as a structural schema must, and says nothing that can't be kept."""
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not schema.get("type") and not free:
        errors.append(required(f"{path}.type", "must not be empty for specified object fields"))
    if schema.get("$ref"):
        errors.append(forbidden_field(f"{path}.$ref", "$ref is not supported"))
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(forbidden_field(f"{path}.uniqueItems", detail))
    if schema.get("pattern"):
        try:
            re.compile(schema["pattern"])
        except re.error as error:
            detail = f"must be a valid regular expression, but isn't: {error}"
            errors.append(invalid(f"{path}.pattern", schema["pattern"], detail))
    if schema.get("type") == "array":
        errors += _list_errors(schema, path)
    for name, inner in (schema.get("properties") or {}).items():
        _check_structure(inner, f"{path}.properties[{name}]", errors)
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            _check_structure(schema[word], f"{path}.{word}", errors)


def _list_errors(schema: JsonObject, path: str) -> list[FieldError]:
    items = schema.get("items")
    if not isinstance(items, dict):
        return [required(f"{path}.items", "must be specified")]
    list_type = schema.get("x-kubernetes-list-type")
    if list_type == "map" and not schema.get("x-kubernetes-list-map-keys"):
        detail = "must not be empty if x-kubernetes-list-type is map"
        return [required(f"{path}.x-kubernetes-list-map-keys", detail)]
    if list_type == "set" and items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        detail = "must be atomic as item of a list with x-kubernetes-list-type=set"
        return [invalid(f"{path}.items.x-kubernetes-map-type", items.get("x-kubernetes-map-type"), detail)]
    return []


def _check_defaults(node: SchemaNode, path: str, errors: list[FieldError]) -> None:
    """A default is itself valid."""
    if "default" in node.schema:
        found: list[FieldError] = []
        validate(node.schema["default"], None, node, "", found)
        errors += [FieldError(f"{path}.default{each.path}", "FieldValueInvalid", each.message) for each in found]
    for name, inner in node.properties.items():
        _check_defaults(inner, f"{path}.properties[{name}]", errors)
    for word, inside in (("items", node.items), ("additionalProperties", node.additional)):
        if inside is not None:
            _check_defaults(inside, f"{path}.{word}", errors)
