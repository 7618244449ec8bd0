"""The status of a cache, from what the agents report."""

from __future__ import annotations

from typing import Any

import pytest

from cachecore.resources.serving import (
    CopyState,
    LocalModelCacheStatus,
    ModelCopyStatus,
    NodeStatusValue,
)
from cachemanager.status import (
    NodeCopy,
    Observation,
    Problem,
    cache_status,
    node_status,
    settled_the_same,
)

GIB = 2**30
EMPTY = LocalModelCacheStatus()


def copy(node: str, state: CopyState | None = CopyState.DOWNLOADED, *, ready: bool = True, **report: Any) -> NodeCopy:
    if state is None:
        return NodeCopy(node=node, ready=ready)
    facts = {"bytes_total": GIB, "bytes_done": GIB if state is CopyState.DOWNLOADED else 0, **report}
    made = ModelCopyStatus(key="0" * 16, source_model_uri="s3://m", state=state, **facts)
    return NodeCopy(node=node, ready=ready, report=made)


def status(*copies: NodeCopy, previous: LocalModelCacheStatus = EMPTY, **facts: Any) -> LocalModelCacheStatus:
    return cache_status(
        previous, Observation(**{"generation": 1, "declared_bytes": GIB, "copies": copies, **facts}), 0.0
    )


def condition(shown: LocalModelCacheStatus, type: str = "Ready") -> tuple[str, str]:
    return next((one.status, one.reason) for one in shown.conditions if one.type == type)


@pytest.mark.parametrize(
    "one,value",
    [
        (copy("n", None), NodeStatusValue.PENDING),
        (copy("n", None, ready=False), NodeStatusValue.NOT_READY),
        (copy("n", CopyState.DOWNLOADING), NodeStatusValue.DOWNLOADING),
        (copy("n", CopyState.DOWNLOADING, ready=False), NodeStatusValue.NOT_READY),
        (copy("n", CopyState.DOWNLOADED, ready=False), NodeStatusValue.DOWNLOADED),
        (copy("n", CopyState.DOWNLOAD_ERROR), NodeStatusValue.ERROR),
        (copy("n", CopyState.EVICTED), NodeStatusValue.EVICTED),
        (NodeCopy(node="n", ready=True, never_fits=True), NodeStatusValue.INSUFFICIENT_STORAGE),
    ],
)
def test_each_node_is_told_by_what_its_agent_says(one: NodeCopy, value: NodeStatusValue) -> None:
    assert node_status(one) is value


@pytest.mark.parametrize(
    "copies,ready,progressing,degraded",
    [
        ((copy("a"), copy("b")), ("True", "AllCopiesReady"), ("False", "Complete"), ("False", "AsExpected")),
        (
            (copy("a"), copy("b", CopyState.DOWNLOADING)),
            ("False", "Downloading"),
            ("True", "Downloading"),
            ("False", "AsExpected"),
        ),
        ((copy("a", None),), ("False", "Downloading"), ("True", "Pending"), ("False", "AsExpected")),
        (
            (copy("a", CopyState.DOWNLOAD_ERROR),),
            ("False", "DownloadError"),
            ("False", "Waiting"),
            ("True", "DownloadError"),
        ),
        (
            (copy("a", CopyState.INSUFFICIENT_STORAGE),),
            ("False", "InsufficientStorage"),
            ("False", "Waiting"),
            ("True", "InsufficientStorage"),
        ),
        (
            (copy("a"), copy("b", CopyState.EVICTED)),
            ("False", "Evicted"),
            ("False", "Waiting"),
            ("False", "AsExpected"),
        ),
        ((), ("False", "NoNodes"), ("False", "Waiting"), ("False", "AsExpected")),
    ],
)
def test_conditions_say_what_is_the_matter(
    copies: tuple[NodeCopy, ...], ready: tuple[str, str], progressing: tuple[str, str], degraded: tuple[str, str]
) -> None:
    shown = status(*copies)
    assert (condition(shown), condition(shown, "Progressing"), condition(shown, "Degraded")) == (
        ready,
        progressing,
        degraded,
    )


def test_the_agents_words_reach_the_person() -> None:
    shown = status(copy("a", CopyState.DOWNLOAD_ERROR, reason="AccessDenied", message="403 from s3://m"))
    message = next(one.message for one in shown.conditions if one.type == "Degraded")
    assert message == "the download failed, and is retried, on a: 403 from s3://m"


def test_nodes_that_hold_different_contents_degrade_it() -> None:
    shown = status(copy("a", digest="blake3:1"), copy("b", digest="blake3:2"), copy("c", digest="blake3:2"))
    assert condition(shown, "Degraded") == ("True", "DigestMismatch")
    assert condition(shown) == ("True", "AllCopiesReady")
    assert shown.digest == "blake3:2"


def test_bytes_are_summed_and_the_size_is_what_was_resolved() -> None:
    shown = status(
        copy("a"), copy("b", CopyState.DOWNLOADING, bytes_done=GIB // 2, bytes_per_second=100), copy("c", None)
    )
    assert (shown.bytes_done, shown.bytes_total, shown.resolved_size) == (GIB * 3 // 2, GIB * 3, GIB)
    assert (shown.progress, shown.transfer) == ("1/3", "1.5/3.0 GiB at 100 B/s")


def test_observed_generation_never_falls() -> None:
    later = status(copy("a"), generation=7)
    assert status(copy("a"), previous=later, generation=3).observed_generation == 7


def test_the_same_observation_gives_the_same_status() -> None:
    first = status(copy("a"))
    again = cache_status(first, Observation(generation=1, declared_bytes=GIB, copies=[copy("a")]), 99.0)
    assert again == first


def test_up_to_500_nodes_are_all_listed() -> None:
    shown = status(*(copy(f"n{number:04}") for number in range(500)))
    assert len(shown.node_status) == 500
    assert all(one.type != "NodeStatusComplete" for one in shown.conditions)


def test_above_500_nodes_only_those_not_downloaded_are_listed_and_a_condition_says_so() -> None:
    copies = [copy(f"n{number:04}") for number in range(500)]
    shown = status(*copies, copy("slow", CopyState.DOWNLOADING))
    assert shown.node_status == {"slow": NodeStatusValue.DOWNLOADING}
    assert shown.copies is not None
    assert (shown.copies.available, shown.copies.total) == (500, 501)
    assert condition(shown, "NodeStatusComplete") == ("False", "TooManyNodes")
    assert all(one.type != "NodeStatusComplete" for one in status(*copies, previous=shown).conditions)


def test_progress_alone_may_wait() -> None:
    first = status(copy("a"), copy("b", CopyState.DOWNLOADING))
    more = status(copy("a"), copy("b", CopyState.DOWNLOADING, bytes_done=5), previous=first)
    done = status(copy("a"), copy("b"), previous=more)
    assert settled_the_same(first, more)
    assert not settled_the_same(more, done)


def test_a_problem_of_the_spec_blocks_ready() -> None:
    shown = status(copy("a"), problems=[Problem(reason="NodeGroupNotFound", message="no group x")])
    assert condition(shown) == ("False", "NodeGroupNotFound")
    assert condition(shown, "Degraded") == ("True", "NodeGroupNotFound")


def test_while_deleting_it_says_what_it_waits_for() -> None:
    shown = status(copy("a"), deletion_blockers=["a: its copy is Evicting (in use by pod x)"])
    assert condition(shown) == ("False", "Deleting")
    message = next(one.message for one in shown.conditions if one.type == "Ready")
    assert message == "waiting for a: its copy is Evicting (in use by pod x)"


def test_a_model_without_room_is_not_said_to_be_downloading() -> None:
    shown = status(copy("n1"), copy("n2", CopyState.PENDING, reason="NoRoom", message="others rank higher"))
    assert condition(shown) == ("False", "NoRoom")
    assert condition(shown, "Progressing") == ("False", "Waiting")
    assert "no room on n2: others rank higher" in next(one.message for one in shown.conditions if one.type == "Ready")


def test_a_model_that_lacks_room_here_and_is_on_its_way_there_is_downloading() -> None:
    shown = status(copy("n1", CopyState.DOWNLOADING), copy("n2", CopyState.PENDING, reason="NoRoom"))
    assert condition(shown) == ("False", "Downloading")
    assert condition(shown, "Progressing") == ("True", "Downloading")
