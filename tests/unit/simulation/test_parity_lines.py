"""The decisions among the lines of a log."""

from __future__ import annotations

import pytest

from cacheagent.decisions import NodePlanned
from cachecore.errors import InvalidInput
from cachesim.simulation.parity.lines import read_log

SEEN = (
    b'{"now_seconds":1.0,"monotonic_seconds":2.0,"spec":{},"disk":{"total_bytes":9,"free_bytes":9},"keys":[],'
    b'"default_concurrent_downloads":2,"listing_seconds":600.0}'
)
DECISION = (
    b'{"time":"12:00","level":"info","service":"agent","logger":"cacheagent.decisions","message":"decided","decision":'
    b'{"kind":"node-plan","schema":"localmodel.decision/v1","host":"node-1","seen":' + SEEN + b',"actions":[]}}\n'
)
OTHER = b'{"time":"12:00","level":"info","service":"agent","logger":"x","message":"a pod has come"}\n'
TRACEBACK = b"Traceback (most recent call last):\n"


def refusal(content: bytes) -> str:
    with pytest.raises(InvalidInput) as refused:
        read_log("agent.log", content)
    return str(refused.value)


def test_decisions_are_found_among_other_lines() -> None:
    log = read_log("agent.log", OTHER + TRACEBACK + DECISION + OTHER)
    assert [(one.where, one.time, type(one.decision)) for one in log.decisions] == [
        ("agent.log:3", "12:00", NodePlanned)
    ]
    assert log.notes == ()


def test_a_log_without_decisions_is_refused() -> None:
    assert refusal(OTHER).startswith("agent.log: there is no decision in it; give the log of an agent or a manager")


def test_a_last_line_that_is_cut_off_is_noted() -> None:
    log = read_log("agent.log", DECISION + DECISION[:200])
    assert (len(log.decisions), log.notes) == (1, ("agent.log:2: the last line is cut off, and left out",))


def test_a_last_line_without_its_end_counts_when_it_is_whole() -> None:
    assert len(read_log("agent.log", DECISION.rstrip()).decisions) == 1


def test_a_line_that_is_cut_off_between_others_is_refused() -> None:
    assert refusal(DECISION[:200] + b"\n" + DECISION).startswith("agent.log:1: a decision that is cut off or damaged")


def test_another_version_is_refused() -> None:
    content = DECISION.replace(b"decision/v1", b"decision/v2")
    assert refusal(content) == (
        "agent.log:1: its schema is localmodel.decision/v2, and only localmodel.decision/v1 can be compared"
    )


def test_an_unknown_field_is_refused() -> None:
    content = DECISION.replace(b'"keys":[]', b'"keys":[],"weather":"fine"')
    assert "no decision of localmodel.decision/v1: Object contains unknown field `weather`" in refusal(content)


def test_a_decision_with_hidden_parts_is_left_out() -> None:
    log = read_log("agent.log", DECISION + DECISION.replace(b'"12:00"', b'"s3://(hidden)@bucket"'))
    assert (len(log.decisions), len(log.notes)) == (1, 1)


def test_a_decision_too_large_for_the_log_is_noted() -> None:
    line = b'{"decision":{"kind":"too-large","schema":"localmodel.decision/v1","host":"n","line_bytes":300000}}\n'
    log = read_log("agent.log", DECISION + line)
    assert log.notes == ("agent.log:2: a line of 300000 bytes was too long for the log, and is left out",)
