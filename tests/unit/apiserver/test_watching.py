"""What only the in-memory server lets a test set up: compaction, slow readers, bookmarks, broken connections."""

from __future__ import annotations

from cachecore.errors import Expired
from cachesim.apiserver.builtin import CONFIG_MAP
from cachesim.apiserver.testing import ContractApi, collect, refused
from cachesim.apiserver.testing_cluster import Cluster


async def config_maps(api: ContractApi, count: int) -> None:
    for index in range(count):
        await api.create(CONFIG_MAP, {"metadata": {"name": f"c{index}"}})


def test_a_watch_of_compacted_history_is_expired() -> None:
    cluster = Cluster(watch_history_events=2)

    async def test(api: ContractApi) -> None:
        revision = await api.revision(CONFIG_MAP)
        await config_maps(api, 4)
        with refused(410, "Expired") as errors:
            await api.watch(CONFIG_MAP, resource_version=revision)
        assert isinstance(errors[0], Expired)
        assert errors[0].message == f"too old resource version: {revision} ({int(revision) + 2})"

    cluster.run(test)


def test_a_watch_resumes_as_long_as_the_history_reaches() -> None:
    cluster = Cluster(watch_history_events=4)

    async def test(api: ContractApi) -> None:
        revision = await api.revision(CONFIG_MAP)
        await config_maps(api, 4)
        watch = await api.watch(CONFIG_MAP, resource_version=revision)
        assert len(await collect(watch, 4)) == 4

    cluster.run(test)


def test_a_reader_that_falls_behind_is_cut_off_and_can_resume() -> None:
    cluster = Cluster(watch_queue_events=2)

    async def test(api: ContractApi) -> None:
        watch = await api.watch(CONFIG_MAP, resource_version=await api.revision(CONFIG_MAP), allow_bookmarks=False)
        await config_maps(api, 5)
        events = await collect(watch, 2)
        assert await watch.receive() is None
        last = events[-1]["object"]["metadata"]["resourceVersion"]
        resumed = await api.watch(CONFIG_MAP, resource_version=last)
        names = [event["object"]["metadata"]["name"] for event in await collect(resumed, 3)]
        assert names == ["c2", "c3", "c4"]

    cluster.run(test)


def test_an_idle_watch_gets_bookmarks_and_one_before_its_end() -> None:
    cluster = Cluster(bookmark_interval_seconds=60.0)

    async def test(api: ContractApi) -> None:
        revision = await api.revision(CONFIG_MAP)
        watch = await api.watch(CONFIG_MAP, resource_version=revision, timeout_seconds=150)
        times: list[float] = []
        while (event := await watch.receive()) is not None:
            assert event["type"] == "BOOKMARK"
            assert event["object"]["metadata"]["resourceVersion"] == revision
            times.append(api.runtime.monotonic())
        assert times == [60.0, 120.0, 148.0]

    cluster.run(test)


def test_a_bookmark_has_the_revision_of_other_kinds_writes(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        watch = await api.watch(CONFIG_MAP, resource_version=await api.revision(CONFIG_MAP), timeout_seconds=5)
        await api.verbs.create(
            CONFIG_MAP,
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "elsewhere"}},
            namespace="default",
        )
        event = await watch.receive()
        assert event is not None
        assert event["object"]["metadata"]["resourceVersion"] == str(cluster.server.revision)

    cluster.run(test)


def test_disconnected_watches_end_with_what_they_had(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        watch = await api.watch(CONFIG_MAP, resource_version=await api.revision(CONFIG_MAP))
        await config_maps(api, 1)
        cluster.server.disconnect_watches()
        await config_maps_after(api)
        assert len(await collect(watch, 1)) == 1
        assert await watch.receive() is None

    async def config_maps_after(api: ContractApi) -> None:
        await api.create(CONFIG_MAP, {"metadata": {"name": "late"}})

    cluster.run(test)


def test_a_closed_watch_is_forgotten(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        revision = await api.revision(CONFIG_MAP)
        first = await api.watch(CONFIG_MAP, resource_version=revision)
        second = await api.watch(CONFIG_MAP, resource_version=revision, field_selector="metadata.name=a")
        assert len(cluster.server.hub) == 2
        await first.close()
        await second.close()
        assert len(cluster.server.hub) == 0

    cluster.run(test)
