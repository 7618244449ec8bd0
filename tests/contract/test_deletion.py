"""Deletion: preconditions, finalizers, grace."""

from __future__ import annotations

from cachesim.apiserver.builtin import CONFIG_MAP, POD
from cachesim.apiserver.options import DeleteOptions
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, collect, refused
from cachesim.apiserver.testing_kinds import WIDGET

FINALIZER = "contract.localmodel.test/hold"


async def widget(api: ContractApi, **metadata: object) -> JsonObject:
    return await api.create(WIDGET, {"metadata": {"name": "a", **metadata}, "spec": {"color": "red"}})


async def bound_pod(api: ContractApi) -> JsonObject:
    spec = {"nodeName": api.unique("node"), "containers": [{"name": "main", "image": "busybox:1"}]}
    return await api.create(POD, {"metadata": {"name": "a"}, "spec": spec})


async def test_a_deleted_object_is_gone(api: ContractApi) -> None:
    created = await widget(api)
    status = await api.delete(WIDGET, "a")
    assert status["status"] == "Success"
    assert status["details"]["uid"] == created["metadata"]["uid"]
    assert not await api.exists(WIDGET, "a")


async def test_what_is_not_there_is_not_found(api: ContractApi) -> None:
    with refused(404, "NotFound"):
        await api.delete(WIDGET, "a")


async def test_the_event_of_a_deletion_has_its_revision(api: ContractApi) -> None:
    created = await widget(api)
    watch = await api.watch(WIDGET, resource_version=created["metadata"]["resourceVersion"])
    await api.delete(WIDGET, "a")
    (event,) = await collect(watch, 1)
    assert event["type"] == "DELETED"
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])
    await watch.close()


async def test_a_uid_is_a_precondition(api: ContractApi) -> None:
    created = await widget(api)
    with refused(409, "Conflict") as errors:
        await api.delete(WIDGET, "a", uid="other")
    assert "the UID in the precondition (other) does not match the UID in record (" in errors[0].message
    await api.delete(WIDGET, "a", uid=created["metadata"]["uid"])


async def test_a_revision_is_a_precondition(api: ContractApi) -> None:
    created = await widget(api)
    await api.merge(WIDGET, "a", {"spec": {"color": "blue"}})
    with refused(409, "Conflict"):
        await api.delete(WIDGET, "a", resource_version=created["metadata"]["resourceVersion"])


async def test_a_finalizer_keeps_the_object(api: ContractApi) -> None:
    await widget(api, finalizers=[FINALIZER])
    going = await api.delete(WIDGET, "a")
    assert going["metadata"]["deletionTimestamp"]
    assert going["metadata"]["deletionGracePeriodSeconds"] == 0
    assert going["metadata"]["generation"] == 2
    assert await api.exists(WIDGET, "a")


async def test_the_last_finalizer_lets_it_go(api: ContractApi) -> None:
    await widget(api, finalizers=[FINALIZER])
    await api.delete(WIDGET, "a")
    await api.merge(WIDGET, "a", {"metadata": {"finalizers": None}})
    assert not await api.exists(WIDGET, "a")


async def test_a_second_deletion_changes_nothing(api: ContractApi) -> None:
    await widget(api, finalizers=[FINALIZER])
    first = await api.delete(WIDGET, "a")
    second = await api.delete(WIDGET, "a")
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_no_finalizer_is_added_to_what_is_going(api: ContractApi) -> None:
    await widget(api, finalizers=[FINALIZER])
    await api.delete(WIDGET, "a")
    with refused(422, "Invalid") as errors:
        await api.merge(WIDGET, "a", {"metadata": {"finalizers": [FINALIZER, "contract.localmodel.test/late"]}})
    assert "no new finalizers can be added if the object is being deleted" in errors[0].message


async def test_a_name_comes_back_with_another_uid(api: ContractApi) -> None:
    first = await widget(api)
    await api.delete(WIDGET, "a")
    second = await widget(api)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert second["metadata"]["generation"] == 1


async def test_a_dry_run_deletes_nothing(api: ContractApi) -> None:
    await widget(api)
    await api.delete(WIDGET, "a", dry_run=True)
    assert await api.exists(WIDGET, "a")


async def test_an_unbound_pod_goes_at_once(api: ContractApi) -> None:
    spec = {"schedulerName": "none", "containers": [{"name": "main", "image": "busybox:1"}]}
    await api.create(POD, {"metadata": {"name": "a"}, "spec": spec})
    await api.delete(POD, "a")
    assert not await api.exists(POD, "a")


async def test_a_bound_pod_gets_its_grace(api: ContractApi) -> None:
    await bound_pod(api)
    going = await api.delete(POD, "a")
    assert going["metadata"]["deletionGracePeriodSeconds"] == 30
    assert await api.exists(POD, "a")


async def test_grace_zero_ends_a_bound_pod(api: ContractApi) -> None:
    await bound_pod(api)
    await api.delete(POD, "a")
    await api.delete(POD, "a", grace_period_seconds=0)
    assert not await api.exists(POD, "a")


async def test_a_shorter_grace_brings_the_end_forward(api: ContractApi) -> None:
    await bound_pod(api)
    first = await api.delete(POD, "a")
    second = await api.delete(POD, "a", grace_period_seconds=5)
    assert second["metadata"]["deletionGracePeriodSeconds"] == 5
    assert second["metadata"]["deletionTimestamp"] < first["metadata"]["deletionTimestamp"]


async def test_a_collection_is_deleted_by_selector(api: ContractApi) -> None:
    for name, app in (("a", "x"), ("b", "x"), ("c", "y")):
        await api.create(CONFIG_MAP, {"metadata": {"name": name, "labels": {"app": app}}})
    await api.verbs.delete_collection(
        CONFIG_MAP, namespace=api.namespace, label_selector="app=x", options=DeleteOptions()
    )
    assert await api.names(CONFIG_MAP, label_selector="app") == ["c"]
