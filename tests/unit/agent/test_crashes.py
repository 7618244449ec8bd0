"""Power off at every operation of the disk: there is no model, or the whole one; and the next start brings it."""

from __future__ import annotations

import random

import pytest

from cacheagent.testing import NodeRig
from cachecore.testing import FakeDisk


class PowerOff(BaseException):
    """Nothing that runs may survive or swallow it."""


VERBS = ("write", "append", "make_directory", "allocate", "sync_tree", "rename", "remove_tree", "write_at")


def operations(verb: str) -> int:
    """How many operations of that kind a download and an eviction take."""
    rig = NodeRig()
    live(rig)
    return rig.disk.faults.count(verb)


def live(rig: NodeRig) -> None:
    """Two models, of which the first makes room for the second; then the second leaves too."""
    first, second = rig.model("first", size_bytes=60, files=2), rig.model("second", size_bytes=950, files=3)
    rig.assign(first)
    rig.settle(20)
    rig.assign(first, second)
    rig.settle(20)
    rig.assign(first)
    rig.settle(20)


COUNTS = {verb: operations(verb) for verb in VERBS}
CASES = [
    (verb, skip, after)
    for verb in VERBS
    for after in ((False, True) if verb != "write_at" else (False,))
    for skip in range(0, COUNTS[verb], max(1, COUNTS[verb] // 12))
]


@pytest.mark.parametrize("verb, skip, after", CASES)
def test_power_off_leaves_no_model_or_the_whole_one(verb: str, skip: int, after: bool) -> None:
    rig = NodeRig()
    rig.disk = FakeDisk(1 << 20, chance=random.Random(skip))
    rig.mover._disk = rig.disk
    rig.disk.faults.fail(verb, PowerOff(), skip=skip, after=after)
    with pytest.raises(PowerOff):
        live(rig)
    rig.disk.faults.heal()
    rig.disk.crash()
    first, second = rig.model("first", size_bytes=60, files=2), rig.model("second", size_bytes=950, files=3)
    for entry in (first, second):
        assert rig.published(entry) in ({}, rig.expected(entry))
    rig.assign(second)
    rig.settle(60)
    assert rig.published(second) == rig.expected(second)
    assert rig.published(first) == {}
    assert rig.state(second) == "Downloaded"
    leftovers = [path for path in rig.disk.files if "/staging/" in path or "/trash/" in path]
    assert leftovers == []


def test_there_is_something_to_crash() -> None:
    assert all(COUNTS.values())
