"""metadata.managedFields: who set which field, by which operation."""

from __future__ import annotations

from typing import Any

from cachesim.apiserver.builtin import CONFIG_MAP
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, causes, refused
from cachesim.apiserver.testing_kinds import WIDGET


async def config_map(api: ContractApi, **options: Any) -> JsonObject:
    return await api.create(CONFIG_MAP, {"metadata": {"name": "a"}, "data": {"x": "1"}}, **options)


async def widget(api: ContractApi, **spec: Any) -> JsonObject:
    body = {"metadata": {"name": "a"}, "spec": {"color": "red", **spec}}
    return await api.create(WIDGET, body, field_manager="ann")


def entries(item: JsonObject) -> dict[tuple[str, str], JsonObject]:
    """The fields by manager and operation."""
    found = item["metadata"].get("managedFields") or []
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in found}


async def test_who_creates_owns_what_it_set(api: ContractApi) -> None:
    created = await config_map(api, field_manager="ann")
    (entry,) = created["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("ann", "Update", "v1")
    assert (entry["fieldsType"], entry["fieldsV1"]) == ("FieldsV1", {"f:data": {".": {}, "f:x": {}}})
    assert entry["time"] == created["metadata"]["creationTimestamp"]


async def test_defaults_belong_to_who_created_it(api: ContractApi) -> None:
    created = await widget(api)
    assert entries(created) == {("ann", "Update"): {"f:spec": {".": {}, "f:color": {}, "f:replicas": {}}}}


async def test_who_changes_a_field_owns_it(api: ContractApi) -> None:
    await config_map(api, field_manager="ann")
    changed = await api.merge(CONFIG_MAP, "a", {"data": {"x": "2", "y": "2"}}, field_manager="bob")
    assert entries(changed) == {
        ("ann", "Update"): {"f:data": {}},
        ("bob", "Update"): {"f:data": {"f:x": {}, "f:y": {}}},
    }


async def test_who_sets_what_is_there_already_owns_nothing(api: ContractApi) -> None:
    created = await config_map(api, field_manager="ann")
    same = await api.merge(CONFIG_MAP, "a", {"data": {"x": "1"}}, field_manager="bob")
    assert same == created


async def test_a_removed_field_is_nobodys(api: ContractApi) -> None:
    await config_map(api, field_manager="ann")
    await api.merge(CONFIG_MAP, "a", {"data": {"y": "2"}}, field_manager="ann")
    changed = await api.merge(CONFIG_MAP, "a", {"data": {"x": None}}, field_manager="bob")
    assert entries(changed) == {("ann", "Update"): {"f:data": {".": {}, "f:y": {}}}}


async def test_labels_and_finalizers_are_owned_one_by_one(api: ContractApi) -> None:
    metadata = {"name": "a", "labels": {"app": "x"}, "finalizers": ["contract.localmodel.test/hold"]}
    created = await api.create(CONFIG_MAP, {"metadata": metadata}, field_manager="ann")
    await api.merge(CONFIG_MAP, "a", {"metadata": {"finalizers": None}})
    assert entries(created) == {
        ("ann", "Update"): {
            "f:metadata": {
                "f:finalizers": {".": {}, 'v:"contract.localmodel.test/hold"': {}},
                "f:labels": {".": {}, "f:app": {}},
            }
        }
    }


async def test_a_status_has_an_entry_of_its_own(api: ContractApi) -> None:
    await widget(api)
    after = await api.merge(WIDGET, "a", {"status": {"phase": "Done"}}, subresource="status", field_manager="ann")
    found = [(each["manager"], each.get("subresource", "")) for each in after["metadata"]["managedFields"]]
    assert found == [("ann", ""), ("ann", "status")]
    assert after["metadata"]["managedFields"][1]["fieldsV1"] == {"f:status": {".": {}, "f:phase": {}}}


async def test_the_entries_are_cleared_by_an_empty_one(api: ContractApi) -> None:
    await config_map(api, field_manager="ann")
    cleared = await api.merge(CONFIG_MAP, "a", {"metadata": {"managedFields": [{}]}}, field_manager="bob")
    assert "managedFields" not in cleared["metadata"]


async def test_the_entries_are_not_the_clients_to_write_otherwise(api: ContractApi) -> None:
    created = await config_map(api, field_manager="ann")
    after = await api.merge(CONFIG_MAP, "a", {"metadata": {"managedFields": None, "labels": {"a": "b"}}})
    assert created["metadata"]["managedFields"][0] in after["metadata"]["managedFields"]


async def test_an_applier_says_nothing_of_owners(api: ContractApi) -> None:
    body = {"metadata": {"managedFields": [{"manager": "ann", "operation": "Apply"}]}}
    with refused(400, "BadRequest") as errors:
        await api.apply(CONFIG_MAP, "a", body, manager="ann")
    assert errors[0].message == "metadata.managedFields must be nil"


async def test_an_applier_that_names_a_stale_revision_conflicts(api: ContractApi) -> None:
    stale = await api.apply(CONFIG_MAP, "a", {"data": {"x": "1"}}, manager="ann")
    await api.merge(CONFIG_MAP, "a", {"data": {"y": "1"}})
    body = {"metadata": {"resourceVersion": stale["metadata"]["resourceVersion"]}, "data": {"x": "2"}}
    with refused(409, "Conflict") as errors:
        await api.apply(CONFIG_MAP, "a", body, manager="ann")
    assert "the object has been modified" in errors[0].message


async def test_every_conflict_is_named(api: ContractApi) -> None:
    await api.apply(CONFIG_MAP, "a", {"data": {"x": "1", "y": "1"}}, manager="ann")
    await api.apply(CONFIG_MAP, "a", {"data": {"z": "1"}}, manager="bob")
    with refused(409, "Conflict") as errors:
        await api.apply(CONFIG_MAP, "a", {"data": {"x": "2", "y": "2", "z": "2"}}, manager="eve")
    assert errors[0].message.startswith("Apply failed with 3 conflicts: conflicts with ")
    assert sorted(field for field, _ in causes(errors[0])) == [".data.x", ".data.y", ".data.z"]


async def test_a_dry_run_of_apply_conflicts_too(api: ContractApi) -> None:
    await api.apply(CONFIG_MAP, "a", {"data": {"x": "1"}}, manager="ann")
    with refused(409, "Conflict"):
        await api.apply(CONFIG_MAP, "a", {"data": {"x": "2"}}, manager="bob", dry_run=True)
    tried = await api.apply(CONFIG_MAP, "a", {"data": {"x": "2"}}, manager="bob", force=True, dry_run=True)
    assert tried["data"] == {"x": "2"}
    assert (await api.get(CONFIG_MAP, "a"))["data"] == {"x": "1"}


async def test_who_applies_what_it_updated_before_is_two_owners(api: ContractApi) -> None:
    await config_map(api, field_manager="ann")
    applied = await api.apply(CONFIG_MAP, "a", {"data": {"x": "1"}}, manager="ann")
    assert entries(applied) == {
        ("ann", "Apply"): {"f:data": {"f:x": {}}},
        ("ann", "Update"): {"f:data": {".": {}, "f:x": {}}},
    }


async def test_a_forced_field_leaves_its_former_applier(api: ContractApi) -> None:
    await api.apply(CONFIG_MAP, "a", {"data": {"x": "1"}}, manager="ann")
    taken = await api.apply(CONFIG_MAP, "a", {"data": {"x": "2"}}, manager="bob", force=True)
    assert entries(taken) == {("bob", "Apply"): {"f:data": {"f:x": {}}}}
