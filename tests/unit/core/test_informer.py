from __future__ import annotations

import pytest

from cachecore.controller.informer import Informer
from cachecore.errors import ApiUnavailable, Expired, TooManyRequests
from cachecore.resources.core import Node, Pod, PodSpec
from cachecore.resources.meta import ObjectMeta
from cachecore.testing import FakeCluster, VirtualRuntime


def node(name: str, **labels: str) -> Node:
    return Node(metadata=ObjectMeta(name=name, labels=labels))


class Scene:
    """A cluster, an informer of its nodes, and what the informer told: `+name`, `-name`, `~name`, `=name`."""

    def __init__(self, *nodes: Node, resync_seconds: float = 0.0, page_size: int = 500) -> None:
        self.runtime = VirtualRuntime(seed=1)
        self.cluster = FakeCluster(self.runtime, *nodes)
        self.told: list[str] = []
        self.informer = Informer(self.runtime, self.cluster, Node, resync_seconds=resync_seconds, page_size=page_size)
        self.informer.add_listener(self.listen)

    def listen(self, old: Node | None, new: Node | None) -> None:
        if old is None and new is not None:
            self.told.append(f"+{new.name}")
        elif new is None and old is not None:
            self.told.append(f"-{old.name}")
        elif new is not None:
            self.told.append(f"={new.name}" if old is new else f"~{new.name}")

    async def start(self) -> None:
        self.runtime.spawn(self.informer.run(), name="informer")
        await self.informer.wait_synced()
        await self.runtime.settle()


def test_the_first_list_is_told_as_added_in_order() -> None:
    scene = Scene(node("b"), node("a"))
    scene.runtime.run(scene.start())
    assert scene.told == ["+a", "+b"]


def test_a_list_is_read_page_by_page() -> None:
    scene = Scene(*(node(f"n{number}") for number in range(5)), page_size=2)
    scene.runtime.run(scene.start())
    assert [found.name for found in scene.informer.list()] == ["n0", "n1", "n2", "n3", "n4"]
    assert scene.cluster.faults.count("list") == 3


def test_objects_are_kept_and_told_as_they_were_transformed() -> None:
    runtime = VirtualRuntime(seed=1)
    cluster = FakeCluster(runtime, node("a", zone="1"))
    informer = Informer(runtime, cluster, Node, resync_seconds=0, transform=lambda seen: node(seen.name))
    told: list[Node | None] = []
    informer.add_listener(lambda _old, new: told.append(new))

    async def main() -> None:
        runtime.spawn(informer.run(), name="informer")
        await informer.wait_synced()
        cluster.add(node("b", zone="1"))
        await runtime.settle()

    runtime.run(main())
    assert told == informer.list() == [node("a"), node("b")]


def test_changes_are_told_as_they_come() -> None:
    scene = Scene()

    async def main() -> None:
        await scene.start()
        scene.cluster.add(node("a"))
        scene.cluster.add(node("a", zone="1"))
        scene.cluster.remove(Node, "a")
        await scene.runtime.settle()

    scene.runtime.run(main())
    assert scene.told == ["+a", "~a", "-a"]
    assert scene.informer.list() == []


def test_a_watch_that_ended_goes_on_where_it_stopped_without_a_list() -> None:
    scene = Scene(node("a"))

    async def main() -> None:
        await scene.start()
        scene.cluster.end_watches()
        scene.cluster.add(node("b"))
        await scene.runtime.sleep(60)

    scene.runtime.run(main())
    assert scene.told == ["+a", "+b"]
    assert scene.cluster.faults.count("list") == 1


def test_a_broken_watch_is_resumed_after_a_while() -> None:
    scene = Scene(node("a"))

    async def main() -> None:
        await scene.start()
        scene.cluster.faults.fail("watch", ApiUnavailable("refused"), times=3)
        scene.cluster.end_watches(ApiUnavailable("reset"))
        scene.cluster.add(node("b"))
        await scene.runtime.sleep(120)

    scene.runtime.run(main())
    assert scene.told == ["+a", "+b"]


def test_an_expired_version_leads_to_a_new_list_whose_difference_is_told() -> None:
    scene = Scene(node("gone"), node("kept"), node("changed"))

    async def main() -> None:
        await scene.start()
        scene.told.clear()
        scene.cluster.faults.fail("watch", ApiUnavailable("refused"), times=1)
        scene.cluster.end_watches(ApiUnavailable("reset"))
        scene.cluster.remove(Node, "gone")
        scene.cluster.add(node("changed", zone="1"))
        scene.cluster.add(node("new"))
        scene.cluster.compact()
        await scene.runtime.sleep(120)

    scene.runtime.run(main())
    assert scene.told == ["~changed", "-gone", "+new"]


def test_an_object_made_again_during_an_outage_is_told_as_another() -> None:
    scene = Scene(node("a"))

    async def main() -> None:
        await scene.start()
        scene.told.clear()
        scene.cluster.remove(Node, "a")
        scene.cluster.add(node("a"))
        scene.cluster.compact()
        await scene.runtime.sleep(120)

    scene.runtime.run(main())
    assert scene.told == ["-a", "+a"]


def test_a_bookmark_moves_the_version_that_a_watch_resumes_from() -> None:
    scene = Scene(node("a"))

    async def main() -> None:
        await scene.start()
        for number in range(10):
            await scene.cluster.create(Pod(metadata=ObjectMeta(name=f"p{number}", namespace="default")))
        scene.cluster.send_bookmarks()
        await scene.runtime.settle()
        scene.cluster.compacted_version = 11
        scene.cluster.end_watches()
        await scene.runtime.sleep(60)

    scene.runtime.run(main())
    assert scene.cluster.faults.count("list", "Node/*") == 1


def test_repeated_events_are_told_once() -> None:
    scene = Scene()

    async def main() -> None:
        await scene.start()
        scene.cluster.add(node("a"))
        scene.cluster.remove(Node, "a")
        await scene.runtime.settle()
        for change in scene.cluster.changes:
            for watch in scene.cluster._watches:
                watch.offer(change)
        await scene.runtime.settle()

    scene.runtime.run(main())
    assert scene.told == ["+a", "-a"]


def test_an_error_of_the_first_list_is_retried() -> None:
    scene = Scene(node("a"))
    scene.cluster.faults.fail("list", ApiUnavailable("starting"), times=4)
    scene.runtime.run(scene.start())
    assert scene.informer.synced
    assert scene.told == ["+a"]


def test_a_429_is_waited_for_as_long_as_it_says() -> None:
    scene = Scene(node("a"))
    scene.cluster.faults.fail("list", TooManyRequests("slow down", retry_after_seconds=17.0))
    scene.runtime.run(scene.start())
    assert scene.runtime.monotonic() >= 17.0


def test_retries_spread_out_while_the_server_is_away() -> None:
    scene = Scene(node("a"))
    scene.cluster.faults.fail("list", ApiUnavailable("away"), times=None)

    async def main() -> None:
        scene.runtime.spawn(scene.informer.run(), name="informer")
        await scene.runtime.sleep(600)

    scene.runtime.run(main())
    assert 20 <= scene.cluster.faults.count("list") <= 40


def test_watches_that_end_at_once_do_not_spin() -> None:
    scene = Scene(node("a"))

    async def main() -> None:
        await scene.start()
        for _ in range(100):
            scene.cluster.end_watches()
            await scene.runtime.sleep(0.1)

    scene.runtime.run(main())
    assert scene.cluster.faults.count("watch") < 15


def test_resync_tells_every_object_as_it_is() -> None:
    scene = Scene(node("a"), node("b"), resync_seconds=100.0)

    async def main() -> None:
        await scene.start()
        scene.told.clear()
        await scene.runtime.sleep(150)

    scene.runtime.run(main())
    assert scene.told == ["=a", "=b"]


def test_a_late_listener_hears_of_what_is_known() -> None:
    scene = Scene(node("a"))
    late: list[str] = []

    async def main() -> None:
        await scene.start()
        scene.informer.add_listener(lambda old, new: late.append(new.name if new is not None else ""))

    scene.runtime.run(main())
    assert late == ["a"]


def test_a_listener_that_fails_stops_neither_the_copy_nor_the_others(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(node("a"))

    def broken(old: Node | None, new: Node | None) -> None:
        raise ValueError("broken")

    heard: list[str] = []
    scene.informer.add_listener(broken)
    scene.informer.add_listener(lambda old, new: heard.append("heard"))
    scene.runtime.run(scene.start())
    assert heard == ["heard"]
    assert scene.informer.get("a") is not None
    assert "a listener of nodes failed" in caplog.text


def test_an_index_follows_the_objects() -> None:
    runtime = VirtualRuntime()
    cluster = FakeCluster(runtime)
    informer = Informer(runtime, cluster, Pod, resync_seconds=0)
    informer.add_index("node", lambda pod: [pod.spec.node_name] if pod.spec.node_name else [])

    def pod(name: str, node_name: str) -> Pod:
        return Pod(metadata=ObjectMeta(name=name, namespace="default"), spec=PodSpec(node_name=node_name))

    async def main() -> None:
        runtime.spawn(informer.run(), name="informer")
        for name, node_name in (("b", "n1"), ("a", "n1"), ("c", "")):
            cluster.add(pod(name, node_name))
        await runtime.sleep(1)
        assert [found.name for found in informer.indexed("node", "n1")] == ["a", "b"]
        cluster.add(pod("a", "n2"))
        cluster.remove(Pod, "b", "default")
        await runtime.sleep(1)

    runtime.run(main())
    assert informer.indexed("node", "n1") == []
    assert [found.name for found in informer.indexed("node", "n2")] == ["a"]


def test_an_expired_list_is_tried_again() -> None:
    scene = Scene(node("a"))
    scene.cluster.faults.fail("list", Expired("the continue token is too old"))
    scene.runtime.run(scene.start())
    assert scene.told == ["+a"]
