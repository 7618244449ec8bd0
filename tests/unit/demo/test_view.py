from __future__ import annotations

import pytest

from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import CopyState, LocalModelNode, LocalModelNodeStatus, ModelCopyStatus
from cachecore.testing import FakeCluster, VirtualRuntime
from cachesim.demo.outcome import EvictionReport, StepFailed
from cachesim.demo.story import complaints
from cachesim.demo.view import ClusterView


def node(*states: tuple[CopyState, str]) -> LocalModelNode:
    copies = tuple(
        ModelCopyStatus(key=f"key-{number}", source_model_uri="s3://m", state=state, reason=reason)
        for number, (state, reason) in enumerate(states)
    )
    return LocalModelNode(metadata=ObjectMeta(name="node-1"), status=LocalModelNodeStatus(models=copies))


@pytest.fixture
def view() -> ClusterView:
    runtime = VirtualRuntime()
    return ClusterView(runtime, FakeCluster(runtime))


def test_an_eviction_is_recorded_once(view: ClusterView) -> None:
    held = node((CopyState.DOWNLOADED, ""))
    going = node((CopyState.EVICTING, "LeastRecentlyUsed"))
    for old, new in ((None, held), (held, going), (going, going), (going, node((CopyState.EVICTED, "")))):
        view._record_evictions(old, new)
    assert view.evictions == [EvictionReport(node="node-1", key="key-0", reason="LeastRecentlyUsed")]


@pytest.mark.parametrize("reason", ["NotAssigned", "InUse"])
def test_what_nobody_wants_any_more_was_not_evicted(view: ClusterView, reason: str) -> None:
    view._record_evictions(node((CopyState.DOWNLOADED, "")), node((CopyState.EVICTING, reason)))
    assert view.evictions == []


def test_waiting_ends_with_what_was_looked_for_or_with_a_reason() -> None:
    runtime = VirtualRuntime()
    view = ClusterView(runtime, FakeCluster(runtime))

    async def scene() -> None:
        await view.start()
        assert await view.until(lambda: runtime.monotonic() > 5, 10, lambda: "too late")
        with pytest.raises(StepFailed, match="too late"):
            await view.until(lambda: False, 10, lambda: "too late")
        assert runtime.monotonic() >= 15
        view.stop()

    runtime.run(scene())


def test_complaints_are_the_last_warnings_and_whatever_is_no_record() -> None:
    log = '{"level":"info","message":"fine"}\n{"level":"error","message":"broken"}\nTraceback'
    assert complaints(log) == ["error: broken", "Traceback"]
