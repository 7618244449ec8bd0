"""kill -9 of each of our processes at ten moments of a model's life.

One at a time, in six stories: at each moment of a story the next of the six processes dies, and each story begins with
the next one. So each process dies at each moment, and in a story no more than twice, after which the kubelet makes its
container wait ten seconds; before each story all pods are new.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest

from cachecore.names import INFERENCE_SERVICE_LABEL
from cachecore.store.layout import staging_path
from realcluster.deployment import DEMO
from realcluster.faults import FaultField, expect, until
from realcluster.safety import disk_of, published

PROGRAMS = ("agent", "manager", "webhook")
STORIES = 2 * len(PROGRAMS)


class Moment(NamedTuple):
    """`come` is a check that passes then."""

    name: str
    come: Callable[[FaultField], None]


def told(field: FaultField) -> None:
    expect(any(field.told(node, field.story) for node in field.cluster.nodes), "no node knows the model")


def begun(field: FaultField) -> None:
    there = [(disk_of(node) / staging_path(field.story.key)).exists() for node in field.cluster.nodes.values()]
    expect(any(there), "no download has begun")


def parts(count: int) -> Callable[[FaultField], None]:
    def come(field: FaultField) -> None:
        if max(field.parts_there(field.story).values()) < count:
            expect(has_copy(field), f"no node has {count} parts")

    return come


def has_copy(field: FaultField) -> bool:
    return any(published(disk_of(node), field.story.key) is not None for node in field.cluster.nodes.values())


def published_once(field: FaultField) -> None:
    expect(has_copy(field), "no node has a copy")


def has_pod(field: FaultField) -> None:
    expect(field.pods(DEMO, f"{INFERENCE_SERVICE_LABEL}=story"), "the service has no pod")


MOMENTS = (
    Moment("the cache has been applied", lambda field: field.apply_cache(field.story)),
    Moment("a node has been told", told),
    Moment("a download has begun", begun),
    Moment("one part is on a disk", parts(1)),
    Moment("two parts are", parts(2)),
    Moment("three parts are", parts(3)),
    Moment("one node has its copy", published_once),
    Moment("a service has been applied", lambda field: field.apply_service(field.story)),
    Moment("its pod has been made", has_pod),
    Moment("all has been deleted", lambda field: field.delete(field.story)),
)


def settled(field: FaultField) -> None:
    """Both models are everywhere, and the service's pod reads its copy."""
    field.replace_uncached(field.story)
    field.whole(field.assistant, field.story)
    field.reads(field.story)


def gone(field: FaultField) -> None:
    field.gone(field.story)
    field.whole(field.assistant)


@pytest.mark.parametrize("number", range(STORIES))
def test_a_story_in_which_processes_die(
    field: FaultField, number: int, heals: Callable[..., float], story: None
) -> None:
    field.renew_pods()
    nodes = list(field.cluster.nodes.values())
    # A kill has healed when all is well again after those that came behind it.
    kills: list[tuple[float, str]] = []
    for index, moment in enumerate(MOMENTS):
        if index == len(MOMENTS) - 1:
            heals(kills[-1][1], partial(settled, field), since=kills[-1][0])
            for when, what in kills[:-1]:
                heals(f"{what}, and those after it", lambda: None, since=when)
        until(partial(moment.come, field))
        program, node = PROGRAMS[(index + number) % STORIES // 2], nodes[(index + number) % 2]
        field.kill(program, node)
        kills.append((time.monotonic(), f"kill -9 of the {program} of {node.name}: {moment.name}"))
    heals(kills[-1][1], partial(gone, field), since=kills[-1][0])
