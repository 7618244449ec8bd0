from __future__ import annotations

import pytest

from cachecore.conditions import condition_is_true, find_condition, set_condition
from cachecore.resources.meta import Condition
from cachecore.timestamps import format_micro_timestamp, format_timestamp, parse_timestamp

NOON = 1_769_860_800.0
READY = set_condition((), type="Ready", status=True, reason="Done", now=NOON)


def test_a_new_condition_begins_now() -> None:
    expected = Condition(type="Ready", status="True", reason="Done", last_transition_time="2026-01-31T12:00:00Z")
    assert list(READY) == [expected]


def test_the_same_status_keeps_its_time() -> None:
    later = set_condition(READY, type="Ready", status=True, reason="Other", message="m", now=NOON + 60)
    assert later[0].last_transition_time == READY[0].last_transition_time
    assert (later[0].reason, later[0].message) == ("Other", "m")


def test_setting_the_same_again_changes_nothing() -> None:
    assert set_condition(READY, type="Ready", status=True, reason="Done", now=NOON + 60) == READY


def test_another_status_moves_the_time() -> None:
    later = set_condition(READY, type="Ready", status="Unknown", reason="Done", now=NOON + 60)
    assert (later[0].status, later[0].last_transition_time) == ("Unknown", "2026-01-31T12:01:00Z")


def test_the_others_and_their_order_are_kept() -> None:
    both = set_condition(READY, type="Degraded", status=False, reason="None", now=NOON)
    again = set_condition(both, type="Ready", status=False, reason="Gone", now=NOON)
    assert [condition.type for condition in again] == ["Ready", "Degraded"]
    assert again[1] == both[1]


def test_a_condition_is_found_by_its_type() -> None:
    assert find_condition(READY, "Ready") == READY[0]
    assert find_condition(READY, "Degraded") is None
    assert condition_is_true(READY, "Ready")
    assert not condition_is_true(READY, "Degraded")


@pytest.mark.parametrize(
    "timestamp",
    ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z", "2026-01-31T13:00:00+01:00"],
)
def test_timestamps_of_every_form_are_read(timestamp: str) -> None:
    assert parse_timestamp(timestamp) == NOON


def test_timestamps_are_written_as_the_api_does() -> None:
    assert format_timestamp(NOON + 0.9) == "2026-01-31T12:00:00Z"
    assert format_micro_timestamp(NOON + 0.25) == "2026-01-31T12:00:00.250000Z"


@pytest.mark.parametrize("timestamp", ["", "noon", "2026-01-31T12:00:00"])
def test_what_is_no_timestamp_is_refused(timestamp: str) -> None:
    with pytest.raises(ValueError, match=r"Invalid|no time zone"):
        parse_timestamp(timestamp)
