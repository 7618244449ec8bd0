from __future__ import annotations

from cachecore.errors import ApiUnavailable
from cachecore.events import BURST, MOST_WAITING, EventRecorder
from cachecore.resources.core import Event, Node, Pod
from cachecore.resources.meta import ObjectMeta
from cachecore.testing import FakeCluster, VirtualRuntime

NODE = Node(metadata=ObjectMeta(name="n", uid="u"))


class Scene:
    def __init__(self) -> None:
        self.runtime = VirtualRuntime()
        self.cluster = FakeCluster(self.runtime)
        self.recorder = EventRecorder(self.runtime, self.cluster, component="agent", host="n")

    def record(self, message: str = "m", resource: Node | Pod = NODE) -> None:
        self.recorder.record(resource, type="Normal", reason="Downloaded", message=message)

    def run(self, seconds: float = 10.0) -> list[Event]:
        async def main() -> None:
            self.runtime.spawn(self.recorder.run(), name="recorder")
            await self.runtime.sleep(seconds)

        self.runtime.run(main())
        return self.cluster.all(Event)


def test_an_event_tells_what_happened_to_which_object() -> None:
    scene = Scene()
    scene.record()
    (event,) = scene.run()
    assert (event.type, event.reason, event.message, event.count) == ("Normal", "Downloaded", "m", 1)
    assert (event.involved_object.kind, event.involved_object.name, event.involved_object.uid) == ("Node", "n", "u")
    assert (event.source.component, event.source.host) == ("agent", "n")


def test_events_live_in_the_namespace_of_their_object_or_in_default() -> None:
    scene = Scene()
    scene.record()
    scene.record(resource=Pod(metadata=ObjectMeta(name="p", namespace="team")))
    assert [event.namespace for event in scene.run()] == ["default", "team"]


def test_equal_events_at_once_are_one_with_a_count() -> None:
    scene = Scene()
    for _ in range(5):
        scene.record()
    assert [event.count for event in scene.run()] == [5]


def test_an_equal_event_later_counts_up_the_one_there_is() -> None:
    scene = Scene()
    scene.record()
    scene.run()
    scene.record()
    (event,) = scene.run()
    assert event.count == 2
    assert event.last_timestamp != event.first_timestamp


def test_an_event_that_the_server_has_forgotten_is_written_anew() -> None:
    scene = Scene()
    scene.record()
    (event,) = scene.run()
    scene.cluster.remove(Event, event.name, event.namespace)
    scene.record()
    assert [event.count for event in scene.run()] == [1]


def test_a_flood_about_one_object_is_cut_off_and_another_object_is_not() -> None:
    scene = Scene()
    for number in range(BURST + 20):
        scene.record(f"message {number}")
    scene.record(resource=Pod(metadata=ObjectMeta(name="p", namespace="team")))
    events = scene.run()
    assert len(events) == BURST + 1
    assert scene.recorder.dropped == 20


def test_an_event_that_cannot_be_written_is_dropped_and_the_next_one_comes() -> None:
    scene = Scene()
    scene.cluster.faults.fail("create", ApiUnavailable("away"))
    scene.record("lost")
    scene.record("kept")
    assert [event.message for event in scene.run()] == ["kept"]


def test_what_waits_is_bounded() -> None:
    scene = Scene()
    for number in range(MOST_WAITING + 5):
        scene.record(f"message {number}")
    assert scene.recorder.dropped == 5
