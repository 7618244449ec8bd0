"""The same seed gives the same objects, the same revisions and the same events, in the same order."""

from __future__ import annotations

from cachesim.apiserver.builtin import CONFIG_MAP, NAMESPACE
from cachesim.apiserver.store import Change
from cachesim.apiserver.testing import ContractApi
from cachesim.apiserver.testing_cluster import Cluster
from cachesim.apiserver.testing_kinds import WIDGET

Trace = list[tuple[str, str, str, str]]


def trace_of_a_story() -> Trace:
    cluster = Cluster()
    trace: Trace = []

    def record(change: Change) -> None:
        metadata = change.item["metadata"]
        trace.append((change.type, metadata["name"], metadata["uid"], metadata["resourceVersion"]))

    cluster.server.store.listen(record)

    async def story(api: ContractApi) -> None:
        owner = await api.create(WIDGET, {"metadata": {"name": "owner"}, "spec": {"color": "red"}})
        reference = {
            "apiVersion": WIDGET.api_version,
            "kind": WIDGET.kind,
            "name": "owner",
            "uid": owner["metadata"]["uid"],
        }
        for _ in range(5):
            await api.create(CONFIG_MAP, {"metadata": {"generateName": "c-", "ownerReferences": [reference]}})
        await api.delete(WIDGET, "owner", propagation_policy="Foreground")
        await api.delete(NAMESPACE, "unit")
        await api.runtime.sleep(10)

    cluster.run(story)
    return trace


def test_the_same_seed_gives_the_same_trace() -> None:
    first, second = trace_of_a_story(), trace_of_a_story()
    assert first == second
    assert ("DELETED", "owner") in [(each[0], each[1]) for each in first]
    assert ("DELETED", "unit") in [(each[0], each[1]) for each in first]


def test_what_is_stored_is_never_changed_in_place() -> None:
    cluster = Cluster()

    async def story(api: ContractApi) -> None:
        first = await api.create(WIDGET, {"metadata": {"name": "a"}, "spec": {"color": "red", "tags": ["x"]}})
        spec, metadata = dict(first["spec"]), dict(first["metadata"])
        operations = [{"op": "add", "path": "/spec/tags/-", "value": "y"}]
        await api.patch(WIDGET, "a", "application/json-patch+json", operations)
        await api.apply(WIDGET, "a", {"spec": {"tags": ["z"]}}, manager="m")
        assert first["spec"] == {**spec, "tags": ["x"]}
        assert first["metadata"] == metadata

    cluster.run(story)
