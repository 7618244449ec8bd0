"""History that has been forgotten.

By events: the real server keeps none of them in its watch cache, which would hide a compaction for a while.
"""

from __future__ import annotations

from cachecore.errors import Expired
from cachesim.apiserver.builtin import EVENT
from cachesim.apiserver.errors import continue_token
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import ContractApi, collect, refused


async def event(api: ContractApi, name: str) -> JsonObject:
    involved = {"kind": "Pod", "name": "a", "namespace": api.namespace}
    return await api.create(EVENT, {"metadata": {"name": name}, "involvedObject": involved, "reason": "Test"})


async def page(api: ContractApi, **query: object) -> JsonObject:
    return await api.verbs.list(EVENT, namespace=api.namespace, **query)  # type: ignore[arg-type]


async def forgotten(api: ContractApi) -> str:
    """A revision that a compaction took."""
    revision = await api.revision(EVENT)
    await event(api, "a")
    await event(api, "b")
    await api.compact(EVENT)
    return revision


async def test_a_watch_of_compacted_history_is_expired(api: ContractApi) -> None:
    revision = await forgotten(api)
    with refused(410, "Expired") as errors:
        watch = await api.watch(EVENT, resource_version=revision)
        await watch.receive()
    assert isinstance(errors[0], Expired)
    assert errors[0].message == "The resourceVersion for the provided watch is too old."


async def test_a_watch_goes_on_from_a_fresh_list(api: ContractApi) -> None:
    await forgotten(api)
    watch = await api.watch(EVENT, resource_version=await api.revision(EVENT))
    await event(api, "c")
    (seen,) = await collect(watch, 1)
    assert seen["object"]["metadata"]["name"] == "c"
    await watch.close()


async def test_an_open_watch_does_not_mind(api: ContractApi) -> None:
    watch = await api.watch(EVENT, resource_version=await api.revision(EVENT))
    # An answer comes before the watch is open in etcd; an event comes after.
    await event(api, "first")
    await collect(watch, 1)
    await forgotten(api)
    assert [seen["object"]["metadata"]["name"] for seen in await collect(watch, 2)] == ["a", "b"]
    await watch.close()


async def test_an_exact_list_of_compacted_history_is_expired(api: ContractApi) -> None:
    revision = await forgotten(api)
    with refused(410, "Expired") as errors:
        await page(api, resource_version=revision, resource_version_match="Exact")
    assert errors[0].message == "The resourceVersion for the provided list is too old."


async def test_a_list_that_need_not_be_exact_is_of_now(api: ContractApi) -> None:
    revision = await forgotten(api)
    listed = await page(api, resource_version=revision, resource_version_match="NotOlderThan")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "b"]


async def test_the_page_after_a_compaction_is_expired(api: ContractApi) -> None:
    for name in "abc":
        await event(api, name)
    first = await page(api, limit=1)
    await api.delete(EVENT, "b")
    await api.compact(EVENT)
    with refused(410, "Expired") as errors:
        await page(api, limit=1, continue_token=first["metadata"]["continue"])
    assert "The provided continue parameter is too old to display a consistent list result." in errors[0].message


async def test_an_expired_token_comes_with_one_for_what_is_there_now(api: ContractApi) -> None:
    for name in "abc":
        await event(api, name)
    first = await page(api, limit=1)
    await api.delete(EVENT, "b")
    await api.compact(EVENT)
    with refused(410) as errors:
        await page(api, limit=1, continue_token=first["metadata"]["continue"])
    rest = await page(api, continue_token=continue_token(errors[0]))
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c"]
