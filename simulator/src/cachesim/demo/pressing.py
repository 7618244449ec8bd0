"""The middle of the story: more models than there is room, one that comes back, and an agent that is killed."""

from __future__ import annotations

from cachecore.quantity import format_bytes
from cachecore.resources.serving import CopyState
from cachesim.demo import manifests
from cachesim.demo.outcome import StepFailed
from cachesim.demo.stage import Stage

_LOOK_SECONDS = 0.02
# The agent is killed when this share of its download has left S3.
_KILLED_AT = 0.3
# What may be fetched twice: the parts that were on their way.
_MOST_FETCHED_TWICE = 0.5


async def pressure(stage: Stage) -> str:
    """Three small models beside the large one are one too many."""
    first, *others = stage.fillers
    nodes = stage.nodes
    for filler in stage.fillers:
        await stage.venue.apply(manifests.cache(stage.scene, filler))
        await stage.download_everywhere(filler)
    await stage.view.until(
        lambda: all(stage.view.state(node, first.key) is CopyState.EVICTED for node in nodes),
        stage.timeout_seconds(),
        lambda: f"{first.name} was not evicted: {[str(stage.view.state(node, first.key)) for node in nodes]}",
    )
    gone = [node for node in nodes if stage.view.state(node, stage.model.key) is not CopyState.DOWNLOADED]
    if gone:
        raise StepFailed(f"{stage.model.name} is in use, and was evicted from {', '.join(gone)}")
    kept = ", ".join(filler.name for filler in others)
    return f"{first.name}, the least recently used, had to go for {others[-1].name}; {kept} and the one in use stay"


async def come_back(stage: Stage) -> str:
    """A pod that uses the evicted model brings it back; another one goes for it."""
    first = stage.fillers[0]
    before = len(stage.view.evictions)
    served = await stage.start_pod("returning", first)
    if served.node not in stage.view.holders(first.key):
        raise StepFailed(f"the pod runs, but {served.node} does not say that it holds {first.name}")
    gone = [eviction.key for eviction in stage.view.evictions[before:] if eviction.node == served.node]
    names = ", ".join(stage.name_of(key) for key in gone) or "nothing"
    await stage.stop_pod("returning")
    return f"{first.name} was back on {served.node} and read after {served.served_seconds:.2f} s; for it went {names}"


async def crash(stage: Stage) -> str:
    """In the middle of a download: the agent that comes back goes on where it was."""
    slow = stage.slow
    rate = slow.bytes_total // stage.venue.slow_seconds
    await stage.apply_node_group(bandwidth_limit=rate)
    await stage.view.until(
        lambda: all(_is_limited(stage, node) for node in stage.nodes),
        stage.timeout_seconds(),
        lambda: "the node group's bandwidthLimit has not come to the nodes",
    )
    before = await stage.counters()
    await stage.venue.apply(manifests.cache(stage.scene, slow, copies=1))
    node = await stage.view.until(
        lambda: next((node for node in stage.nodes if _downloads(stage, node)), None),
        stage.timeout_seconds(),
        lambda: f"no node downloads {slow.name}",
    )
    fetched = await _served_since(stage, before.bytes_served, int(_KILLED_AT * slow.bytes_total))
    killed = await stage.venue.kill_agent(node)
    stage.screen.note(f"killed the agent of {node} ({killed}) with {format_bytes(fetched)} of the model fetched")
    held = stage.view.state(node, slow.key) is CopyState.DOWNLOADED
    if held:
        raise StepFailed(f"{slow.name} was complete before the agent of {node} could be killed")
    await stage.venue.agent_back(node, stage.timeout_seconds())
    await stage.view.until(
        lambda: stage.view.state(node, slow.key) is CopyState.DOWNLOADED,
        stage.timeout_seconds(slow.bytes_total),
        lambda: f"{slow.name} on {node} is {stage.view.state(node, slow.key)} after the agent came back",
    )
    await stage.apply_node_group()
    return await _judge_resume(stage, node, before.bytes_served, fetched)


async def _judge_resume(stage: Stage, node: str, before_bytes: int, fetched: int) -> str:
    slow = stage.slow
    copy = stage.view.copy(node, slow.key)
    if copy is None or copy.digest != slow.digest:
        raise StepFailed(f"the copy of {slow.name} on {node} has the digest {copy.digest if copy else 'of nothing'}")
    total = (await stage.counters()).bytes_served - before_bytes
    twice = max(0, total - slow.bytes_total)
    if twice > _MOST_FETCHED_TWICE * slow.bytes_total:
        raise StepFailed(f"the agent of {node} began again: {format_bytes(twice)} were fetched twice")
    return (
        f"the agent of {node} was killed at {100 * fetched // slow.bytes_total}%, came back and went on; "
        f"{format_bytes(twice)} of {format_bytes(slow.bytes_total)} were fetched twice; the digest is right"
    )


def _is_limited(stage: Stage, node: str) -> bool:
    found = stage.view.local_nodes.get(node)
    return found is not None and found.spec.storage is not None and found.spec.storage.bandwidth_limit is not None


def _downloads(stage: Stage, node: str) -> bool:
    return stage.view.state(node, stage.slow.key) in (CopyState.DOWNLOADING, CopyState.DOWNLOADED)


async def _served_since(stage: Stage, before_bytes: int, wanted_bytes: int) -> int:
    """Wait until S3 has served so much more; answer how much it was."""
    deadline = stage.runtime.monotonic() + stage.timeout_seconds()
    while stage.runtime.monotonic() < deadline:
        served = (await stage.counters()).bytes_served - before_bytes
        if served >= wanted_bytes:
            return served
        await stage.runtime.sleep(_LOOK_SECONDS)
    raise StepFailed(f"S3 did not serve {format_bytes(wanted_bytes)} of {stage.slow.name} in time")
