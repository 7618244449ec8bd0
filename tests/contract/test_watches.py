"""Watches: what is seen, from where, and how a watch ends."""

from __future__ import annotations

from cachesim.apiserver.builtin import CONFIG_MAP, POD
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, collect, refused
from cachesim.apiserver.testing_kinds import WIDGET
from cachesim.apiserver.verbs import RawWatch


async def widget(api: ContractApi, name: str, **labels: str) -> JsonObject:
    return await api.create(WIDGET, {"metadata": {"name": name, "labels": labels}, "spec": {"color": "red"}})


def seen(events: list[JsonObject]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


async def bookmark_of(watch: RawWatch) -> JsonObject | None:
    while (event := await watch.receive()) is not None:
        if event["type"] == "BOOKMARK":
            return event
    return None


async def test_a_watch_sees_every_change_in_order(api: ContractApi) -> None:
    watch = await api.watch(WIDGET, resource_version=await api.revision(WIDGET))
    await widget(api, "a")
    await api.merge(WIDGET, "a", {"spec": {"color": "blue"}})
    await api.delete(WIDGET, "a")
    assert seen(await collect(watch, 3)) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    await watch.close()


async def test_a_watch_resumes_after_the_revision_that_it_names(api: ContractApi) -> None:
    first = await widget(api, "a")
    await widget(api, "b")
    watch = await api.watch(WIDGET, resource_version=first["metadata"]["resourceVersion"])
    assert seen(await collect(watch, 1)) == [("ADDED", "b")]
    await watch.close()


async def test_a_watch_without_revision_begins_with_what_is_there(api: ContractApi) -> None:
    await widget(api, "a")
    watch = await api.watch(WIDGET)
    await widget(api, "b")
    assert seen(await collect(watch, 2)) == [("ADDED", "a"), ("ADDED", "b")]
    await watch.close()


async def test_each_events_revision_is_higher(api: ContractApi) -> None:
    watch = await api.watch(WIDGET, resource_version=await api.revision(WIDGET))
    for color in ("red", "green", "blue"):
        if color == "red":
            await widget(api, "a")
        else:
            await api.merge(WIDGET, "a", {"spec": {"color": color}})
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in await collect(watch, 3)]
    assert revisions == sorted(set(revisions))
    await watch.close()


async def test_an_object_that_leaves_the_selection_is_deleted_for_the_watch(api: ContractApi) -> None:
    created = await widget(api, "a", app="x")
    revision = created["metadata"]["resourceVersion"]
    watch = await api.watch(WIDGET, resource_version=revision, label_selector="app=x")
    changed = await api.merge(WIDGET, "a", {"metadata": {"labels": {"app": "y"}}})
    (event,) = await collect(watch, 1)
    assert event["type"] == "DELETED"
    assert event["object"]["metadata"]["labels"] == {"app": "x"}
    assert event["object"]["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]
    await watch.close()


async def test_an_object_that_enters_the_selection_is_added_for_the_watch(api: ContractApi) -> None:
    created = await widget(api, "a", app="y")
    revision = created["metadata"]["resourceVersion"]
    watch = await api.watch(WIDGET, resource_version=revision, label_selector="app=x")
    await api.merge(WIDGET, "a", {"metadata": {"labels": {"app": "x"}}})
    assert seen(await collect(watch, 1)) == [("ADDED", "a")]
    await watch.close()


async def test_a_watch_of_one_name_sees_no_other(api: ContractApi) -> None:
    watch = await api.watch(WIDGET, resource_version=await api.revision(WIDGET), field_selector="metadata.name=b")
    await widget(api, "a")
    await widget(api, "b")
    assert seen(await collect(watch, 1)) == [("ADDED", "b")]
    await watch.close()


async def test_a_watch_of_one_nodes_pods_sees_a_pod_once_it_is_bound(api: ContractApi) -> None:
    node = api.unique("node")
    watch = await api.watch(POD, resource_version=await api.revision(POD), field_selector=f"spec.nodeName={node}")
    spec = {"schedulerName": "none", "containers": [{"name": "main", "image": "busybox:1"}]}
    await api.create(POD, {"metadata": {"name": "a"}, "spec": spec})
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "a"},
        "target": {"kind": "Node", "name": node},
    }
    await api.verbs.create(POD, binding, namespace=api.namespace, name="a", subresource="binding")
    (event,) = await collect(watch, 1)
    assert event["type"] == "ADDED"
    assert event["object"]["spec"]["nodeName"] == node
    await watch.close()


async def test_a_watch_of_all_namespaces_sees_this_one(api: ContractApi) -> None:
    listed = await api.verbs.list(WIDGET)
    watch = await api.verbs.watch(WIDGET, resource_version=listed["metadata"]["resourceVersion"])
    await widget(api, "a")
    assert seen(await collect(watch, 1)) == [("ADDED", "a")]
    await watch.close()


async def test_a_watch_ends_in_time_without_an_error(api: ContractApi) -> None:
    watch = await api.watch(WIDGET, resource_version=await api.revision(WIDGET), timeout_seconds=1)
    while await watch.receive() is not None:
        pass
    assert await watch.receive() is None


async def test_initial_events_end_with_a_marked_bookmark(api: ContractApi) -> None:
    created = await widget(api, "a")
    watch = await api.watch(WIDGET, send_initial_events=True, timeout_seconds=5)
    assert seen(await collect(watch, 1)) == [("ADDED", "a")]
    bookmark = await bookmark_of(watch)
    assert bookmark is not None
    metadata = bookmark["object"]["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(metadata["resourceVersion"]) >= int(created["metadata"]["resourceVersion"])
    await watch.close()


async def test_a_closed_watch_has_no_more_events(api: ContractApi) -> None:
    watch = await api.watch(WIDGET, resource_version=await api.revision(WIDGET))
    await watch.close()
    assert await watch.receive() is None


async def test_a_revision_that_is_no_number_is_refused(api: ContractApi) -> None:
    # The real server forgets to call it the client's fault.
    with refused(500) as errors:
        await api.watch(CONFIG_MAP, resource_version="soon")
    assert errors[0].message.startswith('resourceVersion: Invalid value: "soon"')


async def test_who_wants_no_bookmarks_gets_none(api: ContractApi) -> None:
    revision = await api.revision(WIDGET)
    watch = await api.watch(WIDGET, resource_version=revision, timeout_seconds=4, allow_bookmarks=False)
    assert await watch.receive() is None


async def test_a_watch_resumes_from_a_bookmark(api: ContractApi) -> None:
    await widget(api, "a")
    watch = await api.watch(WIDGET, send_initial_events=True)
    bookmark = await bookmark_of(watch)
    await watch.close()
    assert bookmark is not None
    await widget(api, "b")
    resumed = await api.watch(WIDGET, resource_version=bookmark["object"]["metadata"]["resourceVersion"])
    assert seen(await collect(resumed, 1)) == [("ADDED", "b")]
    await resumed.close()


async def test_a_list_and_a_watch_from_its_revision_miss_nothing(api: ContractApi) -> None:
    names = [f"w{number}" for number in range(6)]
    writer = api.runtime.spawn(widgets(api, names), name="writer")
    listed = await api.verbs.list(WIDGET, namespace=api.namespace)
    there = [item["metadata"]["name"] for item in listed["items"]]
    watch = await api.watch(WIDGET, resource_version=listed["metadata"]["resourceVersion"])
    await writer.join()
    later = [name for _, name in seen(await collect(watch, len(names) - len(there)))]
    assert there + later == names
    await watch.close()


async def widgets(api: ContractApi, names: list[str]) -> None:
    for name in names:
        await widget(api, name)


async def test_initial_events_of_the_future_are_not_there_yet(api: ContractApi) -> None:
    with refused(504, "Timeout") as errors:
        watch = await api.watch(WIDGET, send_initial_events=True, resource_version="999999999999")
        await watch.receive()
    assert "Too large resource version" in errors[0].message


async def test_initial_events_end_with_a_bookmark_even_when_there_are_none(api: ContractApi) -> None:
    watch = await api.watch(WIDGET, send_initial_events=True)
    first = await watch.receive()
    assert first is not None
    assert first["type"] == "BOOKMARK"
    await watch.close()


async def test_a_watch_without_revision_marks_the_end_of_what_is_there(api: ContractApi) -> None:
    await widget(api, "a")
    watch = await api.watch(WIDGET)
    assert seen(await collect(watch, 1)) == [("ADDED", "a")]
    bookmark = await bookmark_of(watch)
    assert bookmark is not None
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    await watch.close()
