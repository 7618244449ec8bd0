"""Merge, JSON and strategic patches."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.apiserver.builtin import CONFIG_MAP, DEPLOYMENT, POD
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, refused
from cachesim.apiserver.testing_kinds import WIDGET

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


async def config_map(api: ContractApi, **data: str) -> JsonObject:
    return await api.create(CONFIG_MAP, {"metadata": {"name": "a"}, "data": data})


async def deployment(api: ContractApi) -> JsonObject:
    containers = [
        {"name": "main", "image": "busybox:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        {"name": "side", "image": "busybox:1"},
    ]
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": containers}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    return await api.create(DEPLOYMENT, {"metadata": {"name": "a"}, "spec": spec})


def containers_of(item: JsonObject) -> dict[str, JsonObject]:
    return {each["name"]: each for each in item["spec"]["template"]["spec"]["containers"]}


async def test_a_merge_patch_adds_changes_and_removes(api: ContractApi) -> None:
    await config_map(api, kept="1", changed="1", removed="1")
    patched = await api.merge(CONFIG_MAP, "a", {"data": {"changed": "2", "removed": None, "added": "3"}})
    assert patched["data"] == {"kept": "1", "changed": "2", "added": "3"}


async def test_a_merge_patch_replaces_lists(api: ContractApi) -> None:
    await api.create(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red", "tags": ["x", "y"]}})
    patched = await api.merge(WIDGET, "a", {"spec": {"tags": ["z"]}})
    assert patched["spec"]["tags"] == ["z"]


async def test_a_patch_with_a_stale_revision_conflicts(api: ContractApi) -> None:
    stale = await config_map(api, key="1")
    await api.merge(CONFIG_MAP, "a", {"data": {"key": "2"}})
    version = stale["metadata"]["resourceVersion"]
    with refused(409, "Conflict"):
        await api.merge(CONFIG_MAP, "a", {"metadata": {"resourceVersion": version}, "data": {"key": "3"}})


async def test_patching_what_is_not_there_is_not_found(api: ContractApi) -> None:
    with refused(404, "NotFound"):
        await api.merge(CONFIG_MAP, "a", {"data": {}})


async def test_a_json_patch_does_its_operations_in_order(api: ContractApi) -> None:
    await config_map(api, old="1")
    operations = [
        {"op": "test", "path": "/data/old", "value": "1"},
        {"op": "add", "path": "/data/new", "value": "2"},
        {"op": "remove", "path": "/data/old"},
    ]
    patched = await api.patch(CONFIG_MAP, "a", JSON_PATCH, operations)
    assert patched["data"] == {"new": "2"}


async def test_a_json_patch_whose_test_fails_changes_nothing(api: ContractApi) -> None:
    await config_map(api, key="1")
    operations = [{"op": "test", "path": "/data/key", "value": "2"}, {"op": "remove", "path": "/data/key"}]
    with refused(422, "Invalid"):
        await api.patch(CONFIG_MAP, "a", JSON_PATCH, operations)
    assert (await api.get(CONFIG_MAP, "a"))["data"] == {"key": "1"}


async def test_a_json_patch_of_a_missing_path_is_invalid(api: ContractApi) -> None:
    await config_map(api, key="1")
    with refused(422, "Invalid") as errors:
        await api.patch(CONFIG_MAP, "a", JSON_PATCH, [{"op": "remove", "path": "/data/other"}])
    assert errors[0].message == "the server rejected our request due to an error in our request"


async def test_a_json_patch_escapes_slashes_in_labels(api: ContractApi) -> None:
    await api.create(CONFIG_MAP, {"metadata": {"name": "a", "labels": {"x/y": "1"}}})
    patched = await api.patch(
        CONFIG_MAP, "a", JSON_PATCH, [{"op": "replace", "path": "/metadata/labels/x~1y", "value": "2"}]
    )
    assert patched["metadata"]["labels"] == {"x/y": "2"}


async def test_a_strategic_patch_merges_containers_by_name(api: ContractApi) -> None:
    await deployment(api)
    changed = [{"name": "main", "image": "busybox:2", "env": [{"name": "B", "value": "3"}]}]
    patched = await api.patch(DEPLOYMENT, "a", STRATEGIC, {"spec": {"template": {"spec": {"containers": changed}}}})
    containers = containers_of(patched)
    assert containers["main"]["image"] == "busybox:2"
    assert containers["main"]["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}]
    assert containers["side"]["image"] == "busybox:1"


async def test_a_strategic_patch_deletes_an_item(api: ContractApi) -> None:
    await deployment(api)
    changed = [{"name": "side", "$patch": "delete"}]
    patched = await api.patch(DEPLOYMENT, "a", STRATEGIC, {"spec": {"template": {"spec": {"containers": changed}}}})
    assert list(containers_of(patched)) == ["main"]


async def test_a_strategic_patch_replaces_a_list_when_told(api: ContractApi) -> None:
    await deployment(api)
    changed = [{"name": "other", "image": "busybox:1"}, {"$patch": "replace"}]
    patched = await api.patch(DEPLOYMENT, "a", STRATEGIC, {"spec": {"template": {"spec": {"containers": changed}}}})
    assert list(containers_of(patched)) == ["other"]


async def test_a_strategic_patch_merges_conditions_by_type(api: ContractApi) -> None:
    spec = {"schedulerName": "none", "containers": [{"name": "main", "image": "busybox:1"}]}
    await api.create(POD, {"metadata": {"name": "a"}, "spec": spec})
    for kind in ("Initialized", "Ready"):
        conditions = [{"type": kind, "status": "True"}]
        await api.patch(POD, "a", STRATEGIC, {"status": {"conditions": conditions}}, subresource="status")
    conditions = [{"type": "Ready", "status": "False"}]
    patched = await api.patch(POD, "a", STRATEGIC, {"status": {"conditions": conditions}}, subresource="status")
    found = {each["type"]: each["status"] for each in patched["status"]["conditions"]}
    assert found == {"Initialized": "True", "Ready": "False"}


async def test_a_strategic_patch_adds_to_finalizers(api: ContractApi) -> None:
    finalizers = ["contract.localmodel.test/a"]
    await api.create(CONFIG_MAP, {"metadata": {"name": "a", "finalizers": finalizers}})
    more = {"metadata": {"finalizers": ["contract.localmodel.test/b"]}}
    patched = await api.patch(CONFIG_MAP, "a", STRATEGIC, more)
    assert sorted(patched["metadata"]["finalizers"]) == [*finalizers, "contract.localmodel.test/b"]
    await api.merge(CONFIG_MAP, "a", {"metadata": {"finalizers": None}})


async def test_a_custom_resource_takes_no_strategic_patch(api: ContractApi) -> None:
    await api.create(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red"}})
    with refused(415, "UnsupportedMediaType"):
        await api.patch(WIDGET, "a", STRATEGIC, {"spec": {"color": "blue"}})


async def test_an_unknown_patch_type_is_unsupported(api: ContractApi) -> None:
    await config_map(api, key="1")
    with refused(415, "UnsupportedMediaType"):
        await api.patch(CONFIG_MAP, "a", "application/json", {"data": {}})


@pytest.mark.parametrize("patch_type, body", [(JSON_PATCH, {}), (MERGE, ["x"]), (STRATEGIC, ["x"])])
async def test_a_patch_has_the_form_of_its_type(api: ContractApi, patch_type: str, body: Any) -> None:
    await config_map(api, key="1")
    with refused(400, "BadRequest"):
        await api.patch(CONFIG_MAP, "a", patch_type, body)


async def test_an_operation_that_nobody_knows_is_invalid(api: ContractApi) -> None:
    await config_map(api, key="1")
    with refused(422, "Invalid"):
        await api.patch(CONFIG_MAP, "a", JSON_PATCH, [{"op": "fly", "path": "/data"}])


@pytest.mark.parametrize("patch_type", [JSON_PATCH, MERGE, STRATEGIC])
async def test_every_patch_may_name_the_revision_that_it_means(api: ContractApi, patch_type: str) -> None:
    stale = (await config_map(api, key="1"))["metadata"]["resourceVersion"]
    await api.merge(CONFIG_MAP, "a", {"data": {"key": "2"}})
    body: Any = {"metadata": {"resourceVersion": stale}, "data": {"key": "3"}}
    if patch_type == JSON_PATCH:
        body = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": stale},
            {"op": "replace", "path": "/data/key", "value": "3"},
        ]
    with refused(409, "Conflict"):
        await api.patch(CONFIG_MAP, "a", patch_type, body)


@pytest.mark.parametrize("patch_type", [JSON_PATCH, MERGE, STRATEGIC])
async def test_a_dry_run_of_every_patch_changes_nothing(api: ContractApi, patch_type: str) -> None:
    before = await config_map(api, key="1")
    body: Any = {"data": {"key": "2"}}
    if patch_type == JSON_PATCH:
        body = [{"op": "replace", "path": "/data/key", "value": "2"}]
    tried = await api.patch(CONFIG_MAP, "a", patch_type, body, dry_run=True)
    assert tried["data"] == {"key": "2"}
    assert await api.get(CONFIG_MAP, "a") == before
