"""What the schemas refuse, and what they fill in."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.apiserver.rules import SchemaRules

Schema = dict[str, Any]
GROUP_SPEC = {
    "storageLimit": "10Gi",
    "persistentVolumeSpec": {"local": {"path": "/models"}, "nfs": {"server": "kept"}},
    "persistentVolumeClaimSpec": {"accessModes": ["ReadOnlyMany"]},
}
CACHE_SPEC = {"sourceModelUri": "s3://bucket/iris", "modelSize": "1Gi", "nodeGroups": ["workers"]}


@pytest.fixture
def rules(definitions: dict[str, Schema]) -> dict[str, SchemaRules]:
    return {
        kind: SchemaRules(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        for kind, definition in definitions.items()
    }


def made(kind: str, spec: Schema, name: str = "iris") -> Schema:
    return {"apiVersion": "serving.kserve.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def refusals(rules: SchemaRules, item: Schema, previous: Schema | None = None) -> list[str]:
    decoded, _ = rules.decode(item, previous)
    return [str(error) for error in rules.validate(decoded, previous)]


@pytest.mark.parametrize("kind", ["LocalModelCache", "LocalModelNamespaceCache"])
def test_a_manifest_of_kserve_is_taken(rules: dict[str, SchemaRules], kind: str) -> None:
    assert refusals(rules[kind], made(kind, CACHE_SPEC)) == []


def test_defaults_of_a_cache(rules: dict[str, SchemaRules]) -> None:
    decoded, _ = rules["LocalModelCache"].decode(made("LocalModelCache", CACHE_SPEC), None)
    assert decoded["spec"] == {**CACHE_SPEC, "priority": 0, "pinned": False}


def test_defaults_of_a_group(rules: dict[str, SchemaRules]) -> None:
    group = made("LocalModelNodeGroup", {**GROUP_SPEC, "eviction": {"highWatermark": 95}})
    decoded, _ = rules["LocalModelNodeGroup"].decode(group, None)
    assert decoded["spec"]["eviction"] == {"policy": "LRU", "highWatermark": 95, "lowWatermark": 80}


def test_the_volume_spec_is_kept_whole(rules: dict[str, SchemaRules]) -> None:
    decoded, unknown = rules["LocalModelNodeGroup"].decode(made("LocalModelNodeGroup", GROUP_SPEC), None)
    assert decoded["spec"]["persistentVolumeSpec"]["nfs"] == {"server": "kept"}
    assert unknown == []


def test_a_node_without_models_has_an_empty_list(rules: dict[str, SchemaRules]) -> None:
    decoded, _ = rules["LocalModelNode"].decode(made("LocalModelNode", {}), None)
    assert decoded["spec"] == {"localModels": []}


@pytest.mark.parametrize(
    "change",
    [
        {"sourceModelUri": "bucket/iris"},
        {"sourceModelUri": ""},
        {"sourceModelUri": "s3://bucket/i ris"},
        {"modelSize": "-1Gi"},
        {"modelSize": "much"},
        {"nodeGroups": []},
        {"nodeGroups": ["workers", "workers"]},
        {"copies": 0},
        {"digest": "sha256:00"},
        {"digest": "blake3:" + "G" * 64},
        {"priority": "high"},
    ],
    ids=str,
)
def test_refused_in_a_cache(rules: dict[str, SchemaRules], change: Schema) -> None:
    assert refusals(rules["LocalModelCache"], made("LocalModelCache", {**CACHE_SPEC, **change}))


@pytest.mark.parametrize("field", ["sourceModelUri", "modelSize", "nodeGroups"])
def test_required_in_a_cache(rules: dict[str, SchemaRules], field: str) -> None:
    spec = {name: value for name, value in CACHE_SPEC.items() if name != field}
    assert refusals(rules["LocalModelCache"], made("LocalModelCache", spec))


def test_the_uri_never_changes(rules: dict[str, SchemaRules]) -> None:
    old = made("LocalModelCache", CACHE_SPEC)
    new = made("LocalModelCache", {**CACHE_SPEC, "sourceModelUri": "s3://bucket/other"})
    (refusal,) = refusals(rules["LocalModelCache"], new, old)
    assert "make another cache for another URI" in refusal


def test_a_name_must_fit_a_label(rules: dict[str, SchemaRules]) -> None:
    assert refusals(rules["LocalModelCache"], made("LocalModelCache", CACHE_SPEC, name="a" * 63)) == []
    assert refusals(rules["LocalModelCache"], made("LocalModelCache", CACHE_SPEC, name="a" * 64))


@pytest.mark.parametrize(
    "eviction",
    [
        {"highWatermark": 80, "lowWatermark": 80},
        {"highWatermark": 70},
        {"highWatermark": 101},
        {"lowWatermark": 0},
        {"policy": "Random"},
    ],
    ids=str,
)
def test_refused_in_a_group(rules: dict[str, SchemaRules], eviction: Schema) -> None:
    group = made("LocalModelNodeGroup", {**GROUP_SPEC, "eviction": eviction})
    assert refusals(rules["LocalModelNodeGroup"], group)


@pytest.mark.parametrize("size", ["10Gi", "1.5G", "1e9", "100M", 1024, "0"], ids=str)
def test_sizes_that_are_quantities(rules: dict[str, SchemaRules], size: object) -> None:
    assert refusals(rules["LocalModelCache"], made("LocalModelCache", {**CACHE_SPEC, "modelSize": size})) == []
