"""Informers on a real API server: what breaks a watch, and that no change is lost by it."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import Any, Generic, TypeVar

import aiohttp
import pytest

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.adapters.kube import KubeClient
from cachecore.controller.guarded_client import GuardedClient
from cachecore.controller.informer import Informer
from cachecore.controller.queue import Backoff
from cachecore.errors import Expired
from cachecore.ports.cluster import ClusterClient, Patch, ResourceList, Watch, WatchEvent
from cachecore.resources.core import Event, Lease, LeaseSpec, ObjectReference
from cachecore.resources.meta import ObjectMeta, Resource
from cachesim.controlplane import KubeControlPlane
from cachesim.controlplane.testing_proxy import FaultProxy

R = TypeVar("R", bound=Resource)
EAGER = Backoff(base_seconds=0.05, max_seconds=0.5)


class Followed:
    """An informer that runs, and what it told: "add a", "update a", "delete a"."""

    def __init__(self, client: ClusterClient, kind: type[Any], namespace: str) -> None:
        self.informer: Informer[Any] = Informer(
            AsyncioRuntime(), client, kind, namespace=namespace, resync_seconds=0, backoff=EAGER
        )
        self.told: list[str] = []
        self.informer.add_listener(self._on_change)

    def _on_change(self, old: Any, new: Any) -> None:
        verb = "add" if old is None else "delete" if new is None else "update"
        self.told.append(f"{verb} {(new or old).name}")

    async def has_told(self, *expected: str) -> None:
        """Wait until it has told this, and see that it told nothing else; then forget it."""
        with contextlib.suppress(TimeoutError):
            await until(lambda: len(self.told) >= len(expected))
        assert self.told == list(expected)
        self.told.clear()


@contextlib.asynccontextmanager
async def following(client: ClusterClient, kind: type[Any], namespace: str) -> AsyncIterator[Followed]:
    followed = Followed(client, kind, namespace)
    task = asyncio.create_task(followed.informer.run())
    try:
        await followed.informer.wait_synced()
        yield followed
    finally:
        task.cancel()
        await asyncio.wait([task])


def lease(namespace: str, name: str) -> Lease:
    return Lease(metadata=ObjectMeta(name=name, namespace=namespace), spec=LeaseSpec(holder_identity="x"))


def event(namespace: str, name: str) -> Event:
    about = ObjectReference(kind="Pod", name="p", namespace=namespace)
    return Event(metadata=ObjectMeta(name=name, namespace=namespace), involved_object=about, reason="Testing")


async def touch(client: KubeClient, kind: type[Any], namespace: str, name: str) -> None:
    body = {"metadata": {"annotations": {"touched": "yes"}}}
    await client.patch(kind, name, Patch(body=body), namespace=namespace)


async def together(calls: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """All of them, a few at a time."""
    waiting = iter(calls)

    async def work() -> None:
        for call in waiting:
            await call

    await asyncio.gather(*(work() for _ in range(16)))


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not check():  # noqa: ASYNC110 - what listeners did is looked at from outside
            await asyncio.sleep(0.02)


@contextlib.contextmanager
def traced_memory() -> Iterator[Callable[[], int]]:
    """How many bytes Python's objects have grown by."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


class SlowReader(GuardedClient):
    """Its watches are read only while `reading` is set."""

    def __init__(self, client: KubeClient) -> None:
        super().__init__(client, lambda *_: None)
        self.reading = asyncio.Event()
        self.reading.set()
        self.watches = 0

    async def watch(self, kind: type[R], **options: Any) -> Watch[R]:
        self.watches += 1
        return SlowWatch(await super().watch(kind, **options), self.reading)


class SlowWatch(Generic[R]):
    def __init__(self, watch: Watch[R], reading: asyncio.Event) -> None:
        self._watch = watch
        self._reading = reading

    async def receive(self) -> WatchEvent[R] | None:
        await self._reading.wait()
        event = await self._watch.receive()
        await self._reading.wait()
        return event

    async def close(self) -> None:
        await self._watch.close()


async def compact(plane: KubeControlPlane, revision: str) -> None:
    """Make etcd forget what was before `revision`."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{plane.etcd_url}/v3/kv/compaction", json={"revision": revision, "physical": True}) as answer,
    ):
        assert answer.status == 200, await answer.text()


def lists(proxy: FaultProxy) -> int:
    return sum(seen.request.method == "GET" and not seen.request.watches for seen in proxy.seen)


# Events don't pass through the API server's watch cache: with them a watch is etcd's own.
@pytest.mark.parametrize(("kind", "make"), [(Lease, lease), (Event, event)], ids=["cached", "uncached"])
async def test_a_watch_that_breaks_is_resumed_where_it_was(
    client: KubeClient,
    proxied: KubeClient,
    proxy: FaultProxy,
    namespace: str,
    kind: type[Any],
    make: Callable[..., Any],
) -> None:
    await client.create(make(namespace, "a"))
    await client.create(make(namespace, "b"))
    async with following(proxied, kind, namespace) as followed:
        await followed.has_told("add a", "add b")
        with proxy.away():
            await touch(client, kind, namespace, "a")
            await client.delete(kind, "b", namespace=namespace)
            await client.create(make(namespace, "c"))
        await followed.has_told("update a", "delete b", "add c")
        assert lists(proxy) == 1


async def test_an_object_deleted_and_made_again_meanwhile_is_told_as_both(
    client: KubeClient, proxied: KubeClient, proxy: FaultProxy, namespace: str
) -> None:
    await client.create(lease(namespace, "a"))
    async with following(proxied, Lease, namespace) as followed:
        await followed.has_told("add a")
        with proxy.away():
            await client.delete(Lease, "a", namespace=namespace)
            again = await client.create(lease(namespace, "a"))
        await followed.has_told("delete a", "add a")
        assert followed.informer.get("a", namespace) == again


async def test_what_etcd_has_forgotten_is_listed_again_and_told_as_changes(
    client: KubeClient, proxied: KubeClient, proxy: FaultProxy, plane: KubeControlPlane, namespace: str
) -> None:
    for name in "abcd":
        await client.create(event(namespace, name))
    async with following(proxied, Event, namespace) as followed:
        await followed.has_told("add a", "add b", "add c", "add d")
        with proxy.away():
            await touch(client, Event, namespace, "a")
            await client.delete(Event, "b", namespace=namespace)
            await client.delete(Event, "c", namespace=namespace)
            await client.create(event(namespace, "c"))
            last = await client.create(event(namespace, "e"))
            await compact(plane, last.metadata.resource_version)
        await followed.has_told("update a", "delete b", "delete c", "add c", "add e")
        assert lists(proxy) == 2
        # And it watches again.
        await client.delete(Event, "d", namespace=namespace)
        await followed.has_told("delete d")


async def test_a_page_whose_token_has_expired_starts_the_list_again(
    client: KubeClient, plane: KubeControlPlane, namespace: str
) -> None:
    class Compacting(GuardedClient):
        compactions = 0

        async def list(self, kind: type[R], **options: Any) -> ResourceList[R]:
            if options["continue_token"] and not self.compactions:
                self.compactions += 1
                changed = await client.create(event(namespace, "late"))
                await compact(plane, changed.metadata.resource_version)
            return await super().list(kind, **options)

    for number in range(5):
        await client.create(event(namespace, f"e{number}"))
    compacting = Compacting(client, lambda *_: None)
    informer = Informer(AsyncioRuntime(), compacting, Event, namespace=namespace, page_size=2, backoff=EAGER)
    task = asyncio.create_task(informer.run())
    await informer.wait_synced()
    task.cancel()
    assert compacting.compactions == 1
    assert [one.name for one in informer.list()] == [*(f"e{number}" for number in range(5)), "late"]


async def test_the_client_tells_an_expired_token_and_an_expired_watch(
    client: KubeClient, plane: KubeControlPlane, namespace: str
) -> None:
    for name in "abc":
        await client.create(event(namespace, name))
    page = await client.list(Event, namespace=namespace, limit=1)
    await client.create(event(namespace, "d"))
    last = await client.create(event(namespace, "e"))
    await compact(plane, last.metadata.resource_version)
    with pytest.raises(Expired):
        await client.list(Event, namespace=namespace, limit=1, continue_token=page.continue_token)
    watch = await client.watch(Event, resource_version=page.resource_version, namespace=namespace)
    with pytest.raises(Expired):
        await watch.receive()
    await watch.close()


@pytest.mark.parametrize(("kind", "make"), [(Lease, lease), (Event, event)], ids=["cached", "uncached"])
async def test_a_restart_of_the_api_server_loses_no_change(
    client: KubeClient, plane: KubeControlPlane, namespace: str, kind: type[Any], make: Any
) -> None:
    for name in "ab":
        await client.create(make(namespace, name))
    server = plane.part("kube-apiserver")
    async with following(client, kind, namespace) as followed:
        await followed.has_told("add a", "add b")
        # With watches open it takes its time to end; what is lost then is the point.
        await server.stop(grace_seconds=0.5)
        await server.start()
        await server.ready()
        await touch(client, kind, namespace, "a")
        await client.delete(kind, "b", namespace=namespace)
        await client.create(make(namespace, "c"))
        await followed.has_told("update a", "delete b", "add c")


async def test_five_thousand_objects_are_listed_in_pages_and_watched(
    client: KubeClient, proxied: KubeClient, proxy: FaultProxy, namespace: str
) -> None:
    wanted = [f"l{number:04}" for number in range(5000)]
    await together(client.create(lease(namespace, name)) for name in wanted)
    async with following(proxied, Lease, namespace) as followed:
        assert [one.name for one in followed.informer.list()] == wanted
        assert lists(proxy) == 10
        followed.told.clear()
        await together(touch(client, Lease, namespace, name) for name in wanted[::10])
        await client.delete(Lease, wanted[7], namespace=namespace)
        await until(lambda: len(followed.told) == 501)
        assert sorted(followed.told) == sorted([*(f"update {name}" for name in wanted[::10]), "delete l0007"])
        assert lists(proxy) == 10


async def test_a_slow_reader_takes_little_memory_and_loses_nothing(
    client: KubeClient, namespace: str, figures: Any
) -> None:
    """20 MB of changes come while nobody reads: they wait in the API server, or it ends the watch."""
    slow = SlowReader(client)
    wanted = [f"l{number:02}" for number in range(20)]
    await together(client.create(lease(namespace, name)) for name in wanted)
    async with following(slow, Lease, namespace) as followed:
        slow.reading.clear()
        body = {"metadata": {"annotations": {"filler": "x" * 20_000}}}
        with traced_memory() as grown_bytes:
            patches = (Patch(body={**body, "spec": {"leaseTransitions": number}}) for number in range(50))
            await together(
                client.patch(Lease, name, patch, namespace=namespace) for patch in patches for name in wanted
            )
            figures("a slow reader holds", grown_bytes() / 1e6, "MB")
            assert grown_bytes() < 8e6
        last = await client.create(lease(namespace, "last"))
        slow.reading.set()
        await until(lambda: followed.informer.get("last", namespace) == last)
        assert followed.informer.list() == list((await client.list(Lease, namespace=namespace)).items)
        figures("a slow reader needed", slow.watches, "watches")
