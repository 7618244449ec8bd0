"""The API server and etcd stop, die, and forget, while nodes download a model."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from cachesim.host.service_process import ServiceProcess
from realcluster.deployment import SYSTEM
from realcluster.faults import FaultField, expect, until
from realcluster.safety import disk_of, published


def all_published(field: FaultField) -> None:
    """As the disks have it: nobody can be asked."""
    for name, node in field.cluster.nodes.items():
        expect(published(disk_of(node), field.story.key), f"{name} has not published")


@contextmanager
def stopped(field: FaultField, part: ServiceProcess) -> Iterator[None]:
    """It answers nobody, and its connections stay open."""
    os.kill(part.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(part.pid, signal.SIGCONT)


@contextmanager
def dead(field: FaultField, part: ServiceProcess) -> Iterator[None]:
    field.cluster.run(part.kill())
    try:
        yield
    finally:
        field.cluster.run(part.start())
        field.cluster.run(part.ready())


@pytest.mark.parametrize("away", [stopped, dead])
@pytest.mark.parametrize("name", ["kube-apiserver", "etcd"])
def test_a_download_ends_without_it_and_is_told_of_later(
    field: FaultField, name: str, away: Callable[..., Any], heals: Callable[..., float], story: None
) -> None:
    field.apply_cache(field.story)
    until(lambda: field.downloading(field.story))
    with away(field, field.cluster.plane.part(name)):
        until(lambda: all_published(field))
    heals(f"{name} was {away.__name__}", lambda: field.whole(field.assistant, field.story))


async def compact(url: str) -> int:
    """Have etcd forget all that was before now; the revision that it is at."""
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/v3/kv/range", json={"key": "AA=="}, raise_for_status=True) as answer:
            revision = int((await answer.json())["header"]["revision"])
        body = {"revision": str(revision), "physical": True}
        async with session.post(f"{url}/v3/kv/compaction", json=body, raise_for_status=True):
            return revision


def test_watches_whose_history_is_compacted_begin_anew(
    field: FaultField, heals: Callable[..., float], story: None
) -> None:
    """The API server's own memory would hide it: it dies, and knows no more afterwards than etcd does."""
    field.apply_cache(field.story)
    until(lambda: field.downloading(field.story))
    plane = field.cluster.plane
    now = f"--since-time={datetime.now(UTC).isoformat(timespec='seconds').replace('+00:00', 'Z')}"
    with dead(field, plane.part("kube-apiserver")):
        field.cluster.run(compact(plane.etcd_url))
    heals("etcd was compacted under the watches", lambda: field.whole(field.assistant, field.story))
    for program in ("agent", "manager", "webhook"):
        of_it = (f"--selector=app.kubernetes.io/name=localmodel-{program}", "--prefix")
        said = field.deployed.kubectl("-n", SYSTEM, "logs", *of_it, now, "--tail=-1")
        told = {line.split()[0] for line in said.splitlines() if "too old resource version" in line}
        assert len(told) == 2, f"410 Gone was told to no more than {told}"
