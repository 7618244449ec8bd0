"""The CRDs are structural schemas that a real API server takes, and that people can ask about."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cachecore.resources.meta import Resource

Schema = dict[str, Any]
FORBIDDEN = {
    "$ref",
    "definitions",
    "dependencies",
    "deprecated",
    "discriminator",
    "id",
    "patternProperties",
    "readOnly",
}


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema that stands for a value, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}.*")


def test_every_value_has_a_type(schema: Schema) -> None:
    untyped = [
        path for path, node in nodes(schema) if "type" not in node and not node.get("x-kubernetes-int-or-string")
    ]
    assert untyped == []


def test_nothing_that_a_structural_schema_forbids(schema: Schema) -> None:
    assert [path for path, node in nodes(schema) if FORBIDDEN & node.keys()] == []


def test_alternatives_only_for_quantities(schema: Schema) -> None:
    for path, node in nodes(schema):
        assert ("anyOf" in node) == bool(node.get("x-kubernetes-int-or-string")), path
        assert not {"allOf", "oneOf", "not"} & node.keys(), path


def test_every_field_is_explained(schema: Schema) -> None:
    assert [path for path, node in nodes(schema) if not node.get("description") and path != ".metadata"] == []


def test_descriptions_are_sentences(schema: Schema) -> None:
    odd = [path for path, node in nodes(schema) if not node.get("description", "A.").endswith(".")]
    assert odd == []


def test_patterns_compile(schema: Schema) -> None:
    patterns = [node["pattern"] for _, node in nodes(schema) if "pattern" in node]
    assert all(re.compile(pattern) for pattern in patterns)


def test_lists_by_key_have_keys_that_are_required(schema: Schema) -> None:
    for path, node in nodes(schema):
        if node.get("x-kubernetes-list-type") == "map":
            assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"]), path


def test_every_list_says_how_it_is_merged(schema: Schema) -> None:
    assert [
        path
        for path, node in nodes(schema)
        if node["type" if "type" in node else "anyOf"] == "array" and "x-kubernetes-list-type" not in node
    ] == []


def test_values_under_rules_are_bounded(schema: Schema) -> None:
    """Or the API server refuses the rule as too costly."""
    for path, node in nodes(schema):
        if "x-kubernetes-validations" in node and node.get("type") == "string":
            assert "maxLength" in node, path
        if node.get("type") == "array" and ".spec" in path and "x-kubernetes-list-type" in node:
            assert "maxItems" in node or path.endswith(".values"), path


def test_status_is_a_subresource(definition: Schema) -> None:
    assert definition["spec"]["versions"][0]["subresources"] == {"status": {}}


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("LocalModelCache", "lmc"),
        ("LocalModelNamespaceCache", "lmnc"),
        ("LocalModelNodeGroup", "lmng"),
        ("LocalModelNode", "lmn"),
    ],
)
def test_short_names(definitions: dict[str, Schema], name: str, short: str) -> None:
    assert definitions[name]["spec"]["names"]["shortNames"] == [short]


def test_columns_point_at_fields(kind: type[Resource], definition: Schema, schema: Schema) -> None:
    known = {path for path, _ in nodes(schema)} | {".metadata.creationTimestamp"}
    for column in definition["spec"]["versions"][0]["additionalPrinterColumns"]:
        path = re.sub(r"\[\?\(@\.type==\"\w+\"\)\]", "[]", column["jsonPath"])
        assert path in known, column["name"]


def test_the_wide_columns_come_last(definition: Schema) -> None:
    priorities = [column.get("priority", 0) for column in definition["spec"]["versions"][0]["additionalPrinterColumns"]]
    assert priorities == sorted(priorities)


def test_kubectl_takes_every_yaml_for_an_object(folder: Path) -> None:
    """`kubectl apply -f crds/` reads all of them, so the kustomization has no suffix."""
    assert not list(folder.glob("kustomization.y*ml"))
    assert (folder / "Kustomization").is_file()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_the_kustomization_builds(folder: Path, definitions: dict[str, Schema]) -> None:
    built = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True)
    assert built.stdout.count("kind: CustomResourceDefinition") == len(definitions) == 4
