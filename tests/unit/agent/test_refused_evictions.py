"""Evictions that the disk refuses, wholly or in part."""

from __future__ import annotations

import pytest

from cacheagent.testing import NodeRig
from cachecore.errors import DiskFailure, DiskFull
from cachecore.resources.serving import CopyState, LocalModelInfo


@pytest.fixture
def crowded(rig: NodeRig) -> tuple[LocalModelInfo, ...]:
    """Two models fill the node when a pod comes for a third."""
    rig.policy = type(rig.policy)(limit=250)
    entries = tuple(rig.model(name) for name in ("m1", "m2", "m3"))
    rig.assign(*entries[:2])
    rig.settle()
    assert [rig.state(entry) for entry in entries[:2]] == [CopyState.DOWNLOADED] * 2
    rig.assign(*entries)
    rig.start_pod("p", entries[2])
    return entries


def test_a_full_disk_that_has_no_room_for_a_note_makes_room(rig: NodeRig, crowded: tuple[LocalModelInfo, ...]) -> None:
    rig.disk.faults.fail("write", DiskFull("no space left"), pattern="*/ledger", times=None)
    rig.settle()
    states = [rig.state(entry) for entry in crowded]
    assert states.count(CopyState.DOWNLOADED) == 2
    assert states[2] is CopyState.DOWNLOADED


def test_an_eviction_that_fails_is_tried_now_and_then(rig: NodeRig, crowded: tuple[LocalModelInfo, ...]) -> None:
    before = rig.status_writes()
    rig.disk.faults.fail("rename", DiskFailure("input/output error"), pattern="*/models/*", times=None)
    rig.settle()
    assert rig.disk.faults.count("rename", "*/models/*") < 20
    assert rig.status_writes() - before < 30


def test_an_eviction_that_failed_is_carried_out_when_the_disk_is_well(
    rig: NodeRig, crowded: tuple[LocalModelInfo, ...]
) -> None:
    rig.disk.faults.fail("rename", DiskFailure("input/output error"), pattern="*/models/*", times=3)
    rig.settle()
    assert rig.state(crowded[2]) is CopyState.DOWNLOADED
