"""What an update may change, when it conflicts, and what counts as a change."""

from __future__ import annotations

from cachesim.apiserver.builtin import CONFIG_MAP
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, causes, collect, refused
from cachesim.apiserver.testing_kinds import WIDGET


async def widget(api: ContractApi, **spec: object) -> JsonObject:
    return await api.create(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red", **spec}})


def with_metadata(item: JsonObject, **metadata: object) -> JsonObject:
    return {**item, "metadata": {**item["metadata"], **metadata}}


async def test_an_update_raises_the_revision(api: ContractApi) -> None:
    before = await widget(api)
    after = await api.update(WIDGET, {**before, "spec": {"color": "blue"}})
    assert int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])
    assert await api.get(WIDGET, "a") == after


async def test_a_stale_revision_conflicts(api: ContractApi) -> None:
    stale = await widget(api)
    await api.merge(WIDGET, "a", {"spec": {"color": "blue"}})
    with refused(409, "Conflict") as errors:
        await api.update(WIDGET, {**stale, "spec": {"color": "green"}})
    assert errors[0].message == (
        'Operation cannot be fulfilled on widgets.contract.localmodel.test "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


async def test_a_custom_resource_is_not_replaced_blindly(api: ContractApi) -> None:
    before = await widget(api)
    with refused(422, "Invalid") as errors:
        await api.update(WIDGET, {"metadata": {"name": "a"}, "spec": before["spec"]})
    assert causes(errors[0]) == [("metadata.resourceVersion", "FieldValueInvalid")]
    assert "must be specified for an update" in errors[0].message


async def test_a_config_map_may_be_replaced_blindly(api: ContractApi) -> None:
    await api.create(CONFIG_MAP, {"metadata": {"name": "a"}, "data": {"key": "old"}})
    after = await api.update(CONFIG_MAP, {"metadata": {"name": "a"}, "data": {"key": "new"}})
    assert after["data"] == {"key": "new"}


async def test_another_objects_uid_conflicts(api: ContractApi) -> None:
    before = await widget(api)
    with refused(409, "Conflict"):
        await api.update(WIDGET, with_metadata(before, uid="6b7c3d2e-0000-4000-8000-000000000000"))


async def test_a_missing_object_is_not_found(api: ContractApi) -> None:
    with refused(404, "NotFound") as errors:
        await api.update(WIDGET, {"metadata": {"name": "b", "resourceVersion": "1"}, "spec": {"color": "red"}})
    assert errors[0].message == 'widgets.contract.localmodel.test "b" not found'


async def test_an_update_that_changes_nothing_keeps_the_revision(api: ContractApi) -> None:
    before = await widget(api)
    after = await api.update(WIDGET, before)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_an_update_that_changes_nothing_is_no_event(api: ContractApi) -> None:
    before = await widget(api)
    watch = await api.watch(WIDGET, resource_version=before["metadata"]["resourceVersion"])
    await api.update(WIDGET, before)
    await api.merge(WIDGET, "a", {"spec": {"color": "blue"}})
    (event,) = await collect(watch, 1)
    assert event["object"]["spec"]["color"] == "blue"
    await watch.close()


async def test_generation_counts_changes_of_the_spec_alone(api: ContractApi) -> None:
    await widget(api)
    labelled = await api.merge(WIDGET, "a", {"metadata": {"labels": {"app": "x"}}})
    assert labelled["metadata"]["generation"] == 1
    changed = await api.merge(WIDGET, "a", {"spec": {"color": "blue"}})
    assert changed["metadata"]["generation"] == 2


async def test_an_update_leaves_the_status(api: ContractApi) -> None:
    await widget(api)
    await api.merge(WIDGET, "a", {"status": {"phase": "Done"}}, subresource="status")
    after = await api.merge(WIDGET, "a", {"spec": {"color": "blue"}, "status": {"phase": "Other"}})
    assert after["status"] == {"phase": "Done"}


async def test_a_status_update_leaves_the_rest(api: ContractApi) -> None:
    before = await widget(api)
    body = {**with_metadata(before, labels={"app": "x"}), "spec": {"color": "blue"}, "status": {"phase": "Done"}}
    after = await api.update(WIDGET, body, subresource="status")
    assert after["status"] == {"phase": "Done"}
    assert after["spec"]["color"] == "red"
    assert "labels" not in after["metadata"]
    assert after["metadata"]["generation"] == 1


async def test_a_status_update_conflicts_as_well(api: ContractApi) -> None:
    stale = await widget(api)
    await api.merge(WIDGET, "a", {"status": {"phase": "Done"}}, subresource="status")
    with refused(409, "Conflict"):
        await api.update(WIDGET, {**stale, "status": {"phase": "Other"}}, subresource="status")


async def test_the_generation_is_the_servers(api: ContractApi) -> None:
    before = await widget(api)
    after = await api.update(WIDGET, with_metadata(before, generation=9))
    assert after["metadata"]["generation"] == 1


async def test_the_url_names_the_object(api: ContractApi) -> None:
    before = await widget(api)
    with refused(400, "BadRequest") as errors:
        await api.verbs.update(WIDGET, "b", before, namespace=api.namespace)
    assert "the name of the object (a) does not match the name on the URL (b)" in errors[0].message


async def test_a_dry_run_changes_nothing(api: ContractApi) -> None:
    before = await widget(api)
    tried = await api.merge(WIDGET, "a", {"spec": {"color": "blue"}}, dry_run=True)
    assert tried["spec"]["color"] == "blue"
    assert await api.get(WIDGET, "a") == before


async def test_a_kind_without_status_has_no_such_path(api: ContractApi) -> None:
    await api.create(CONFIG_MAP, {"metadata": {"name": "a"}})
    with refused(404):
        await api.merge(CONFIG_MAP, "a", {"data": {}}, subresource="status")


async def test_the_url_names_the_namespace(api: ContractApi) -> None:
    before = await widget(api)
    with refused(400, "BadRequest") as errors:
        await api.verbs.update(WIDGET, "a", with_metadata(before, namespace="default"), namespace=api.namespace)
    assert "the namespace of the provided object does not match the namespace sent on the request" in errors[0].message
