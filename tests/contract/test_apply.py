"""Server-side apply: ownership, conflicts, force, and what an applier leaves out."""

from __future__ import annotations

from typing import Any

from cachesim.apiserver.builtin import CONFIG_MAP
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, causes, refused
from cachesim.apiserver.testing_kinds import WIDGET


async def applied(api: ContractApi, manager: str, *, force: bool = False, **spec: Any) -> JsonObject:
    return await api.apply(WIDGET, "a", {"spec": spec}, manager=manager, force=force)


def managers(item: JsonObject) -> list[tuple[str, str]]:
    return [(entry["manager"], entry["operation"]) for entry in item["metadata"]["managedFields"]]


async def test_apply_creates_what_is_not_there(api: ContractApi) -> None:
    created = await applied(api, "ann", color="red")
    assert created["spec"]["color"] == "red"
    assert managers(created)[0] == ("ann", "Apply")


async def test_the_owned_fields_are_listed(api: ContractApi) -> None:
    created = await applied(api, "ann", color="red", tags=["x"], parts=[{"name": "p", "size": 2}])
    entry = next(each for each in created["metadata"]["managedFields"] if each["manager"] == "ann")
    assert entry["fieldsType"] == "FieldsV1"
    assert entry["fieldsV1"] == {
        "f:spec": {
            "f:color": {},
            "f:parts": {'k:{"name":"p"}': {".": {}, "f:name": {}, "f:size": {}}},
            "f:tags": {'v:"x"': {}},
        }
    }


async def test_applying_the_same_again_changes_nothing(api: ContractApi) -> None:
    first = await applied(api, "ann", color="red")
    second = await applied(api, "ann", color="red")
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_a_field_of_another_applier_conflicts(api: ContractApi) -> None:
    await applied(api, "ann", color="red")
    with refused(409, "Conflict") as errors:
        await applied(api, "bob", color="blue")
    assert errors[0].message == 'Apply failed with 1 conflict: conflict with "ann": .spec.color'
    assert causes(errors[0]) == [(".spec.color", "FieldManagerConflict")]


async def test_a_field_that_an_update_set_conflicts(api: ContractApi) -> None:
    await applied(api, "ann", color="red")
    await api.merge(WIDGET, "a", {"spec": {"title": "hello"}}, field_manager="editor")
    with refused(409, "Conflict") as errors:
        await applied(api, "ann", color="red", title="other")
    assert 'conflict with "editor" using contract.localmodel.test/v1: .spec.title' in errors[0].message


async def test_an_update_takes_a_field_from_its_applier(api: ContractApi) -> None:
    await applied(api, "ann", color="red", title="hello")
    await api.merge(WIDGET, "a", {"spec": {"title": "other"}}, field_manager="editor")
    with refused(409, "Conflict"):
        await applied(api, "ann", color="red", title="hello")


async def test_force_takes_the_field_over(api: ContractApi) -> None:
    await applied(api, "ann", color="red", title="hello")
    taken = await applied(api, "bob", force=True, color="blue")
    assert taken["spec"]["color"] == "blue"
    with refused(409, "Conflict"):
        await applied(api, "ann", color="red", title="hello")


async def test_the_same_value_is_shared(api: ContractApi) -> None:
    await applied(api, "ann", color="red", title="hello")
    await applied(api, "bob", color="red", title="hello")
    left = await applied(api, "ann", color="red")
    assert left["spec"]["title"] == "hello"


async def test_what_is_no_longer_applied_goes(api: ContractApi) -> None:
    await applied(api, "ann", color="red", title="hello", tags=["x", "y"])
    left = await applied(api, "ann", color="red", tags=["y"])
    assert "title" not in left["spec"]
    assert left["spec"]["tags"] == ["y"]


async def test_items_merge_by_key(api: ContractApi) -> None:
    await applied(api, "ann", color="red", parts=[{"name": "p", "size": 2}])
    merged = await applied(api, "bob", color="red", parts=[{"name": "q", "size": 3}])
    assert [part["name"] for part in merged["spec"]["parts"]] == ["p", "q"]
    left = await applied(api, "bob", color="red")
    assert [part["name"] for part in left["spec"]["parts"]] == ["p"]


async def test_an_atomic_list_has_one_owner(api: ContractApi) -> None:
    await applied(api, "ann", color="red", order=["x"])
    with refused(409, "Conflict") as errors:
        await applied(api, "bob", color="red", order=["y"])
    assert causes(errors[0]) == [(".spec.order", "FieldManagerConflict")]


async def test_each_key_of_a_map_has_its_owner(api: ContractApi) -> None:
    await api.apply(CONFIG_MAP, "a", {"data": {"x": "1"}}, manager="ann")
    merged = await api.apply(CONFIG_MAP, "a", {"data": {"y": "2"}}, manager="bob")
    assert merged["data"] == {"x": "1", "y": "2"}
    left = await api.apply(CONFIG_MAP, "a", {}, manager="ann")
    assert left["data"] == {"y": "2"}


async def test_apply_keeps_what_others_set(api: ContractApi) -> None:
    await applied(api, "ann", color="red")
    await api.merge(WIDGET, "a", {"metadata": {"labels": {"app": "x"}}}, field_manager="editor")
    again = await applied(api, "ann", color="blue")
    assert again["metadata"]["labels"] == {"app": "x"}


async def test_a_status_has_its_own_applier(api: ContractApi) -> None:
    await applied(api, "ann", color="red")
    conditions = [{"type": "Ready", "status": "True"}]
    body = {"status": {"conditions": conditions}}
    after = await api.apply(WIDGET, "a", body, manager="agent", subresource="status")
    assert after["status"]["conditions"] == conditions
    again = await applied(api, "ann", color="blue")
    assert again["status"]["conditions"] == conditions


async def test_an_applier_has_a_name(api: ContractApi) -> None:
    with refused(422, "Invalid") as errors:
        await applied(api, "", color="red")
    assert "fieldManager: Required value" in errors[0].message


async def test_a_merge_patch_is_not_forced(api: ContractApi) -> None:
    await applied(api, "ann", color="red")
    with refused(422, "Invalid"):
        await api.merge(WIDGET, "a", {"spec": {"color": "blue"}}, field_manager="bob", force=True)


async def test_what_is_applied_says_what_it_is(api: ContractApi) -> None:
    with refused(400, "BadRequest") as errors:
        await api.patch(CONFIG_MAP, "a", "application/apply-patch+yaml", {"data": {}}, field_manager="ann")
    assert errors[0].message.startswith("invalid object type: /, Kind=")


async def test_an_applier_may_name_the_uid_that_it_means(api: ContractApi) -> None:
    created = await api.apply(CONFIG_MAP, "a", {"data": {"x": "1"}}, manager="ann")
    own = {"metadata": {"uid": created["metadata"]["uid"]}, "data": {"x": "2"}}
    assert (await api.apply(CONFIG_MAP, "a", own, manager="ann"))["data"] == {"x": "2"}
    other = {"metadata": {"uid": "6b7c3d2e-0000-4000-8000-000000000000"}, "data": {"x": "3"}}
    with refused(422, "Invalid") as errors:
        await api.apply(CONFIG_MAP, "a", other, manager="ann")
    assert set(causes(errors[0])) == {("metadata.uid", "FieldValueInvalid")}


async def test_a_uid_is_of_nothing_that_is_not_there(api: ContractApi) -> None:
    body = {"metadata": {"uid": "6b7c3d2e-0000-4000-8000-000000000000"}}
    with refused(409, "Conflict") as errors:
        await api.apply(CONFIG_MAP, "a", body, manager="ann")
    assert "uid mismatch" in errors[0].message
