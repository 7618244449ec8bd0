"""Drop-in: what KServe's CRDs have, ours have too, as required or as optional as there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

Schema = dict[str, Any]

# Field by field as KServe 0.21 defines it; `!` marks what it requires, `{}` the values of a map, `[]` of a list.
CACHE = """
    spec.sourceModelUri! spec.modelSize! spec.nodeGroups! spec.nodeGroups[] spec.serviceAccountName
    spec.storage spec.storage.key spec.storage.parameters spec.storage.parameters{}
    status.nodeStatus status.nodeStatus{} status.copies status.copies.available status.copies.total status.copies.failed
    status.inferenceServices status.inferenceServices[].namespace status.inferenceServices[].name
    status.llmInferenceServices status.llmInferenceServices[].namespace status.llmInferenceServices[].name
"""
FIELDS = {
    "LocalModelCache": CACHE,
    "LocalModelNamespaceCache": CACHE,
    "LocalModelNodeGroup": """
        spec.storageLimit! spec.persistentVolumeSpec! spec.persistentVolumeClaimSpec! status.used status.available
    """,
    "LocalModelNode": """
        spec.localModels! spec.localModels[].sourceModelUri! spec.localModels[].modelName! spec.localModels[].namespace
        spec.localModels[].nodeGroup spec.localModels[].serviceAccountName spec.localModels[].storage
        spec.localModels[].storage.key spec.localModels[].storage.parameters spec.localModels[].storage.parameters{}
        status.modelStatus status.modelStatus{}
    """,
}
NODE_VALUES = ["", "NodeNotReady", "NodeDownloadPending", "NodeDownloading", "NodeDownloaded", "NodeDownloadError"]
MODEL_VALUES = ["", "ModelDownloadPending", "ModelDownloading", "ModelDownloaded", "ModelDownloadError"]


def schema_of(definitions: dict[str, Schema], kind: str) -> Schema:
    found: Schema = definitions[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def fields(schema: Schema, path: str = "") -> Iterator[str]:
    for name, child in schema.get("properties", {}).items():
        below = f"{path}.{name}".lstrip(".")
        yield f"{below}!" if name in schema.get("required", ()) else below
        yield from fields(child, below)
    if "items" in schema:
        yield f"{path}[]"
        yield from fields(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield f"{path}{{}}"


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_of_kserve_is_there(definitions: dict[str, Schema], kind: str) -> None:
    assert set(FIELDS[kind].split()) - set(fields(schema_of(definitions, kind))) == set()


@pytest.mark.parametrize("kind", FIELDS)
def test_nothing_more_is_required_of_a_manifest(definitions: dict[str, Schema], kind: str) -> None:
    """Of what KServe's manifests have; our own additions may have required parts."""
    theirs = {field.rstrip("!") for field in FIELDS[kind].split()}
    required = {field for field in fields(schema_of(definitions, kind)) if field.endswith("!")}
    outside = {"spec!", "status!", *FIELDS[kind].split()}
    assert {field for field in required - outside if field.rstrip("!") in theirs} == set()
    assert {field for field in required - outside if field.count(".") == 1} == set()


def test_the_values_of_a_status_begin_with_those_of_kserve(definitions: dict[str, Schema]) -> None:
    cache = schema_of(definitions, "LocalModelCache")["properties"]["status"]["properties"]
    node = schema_of(definitions, "LocalModelNode")["properties"]["status"]["properties"]
    assert cache["nodeStatus"]["additionalProperties"]["enum"][: len(NODE_VALUES)] == NODE_VALUES
    assert node["modelStatus"]["additionalProperties"]["enum"][: len(MODEL_VALUES)] == MODEL_VALUES
