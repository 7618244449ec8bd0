from __future__ import annotations

import pytest

from cachesim.localcluster import s3_door
from cachesim.localcluster.s3_door import Pace


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(s3_door, "time", clock)
    return clock


def test_blocks_of_all_readers_together_keep_the_pace(clock: Clock) -> None:
    pace = Pace(1000)
    for _ in range(5):
        pace.wait(500)
    assert clock.seconds == pytest.approx(102.5)


def test_time_in_which_nobody_read_is_not_made_up_for(clock: Clock) -> None:
    pace = Pace(1000)
    clock.seconds += 60
    pace.wait(500)
    assert clock.seconds == pytest.approx(160.5)


def test_without_a_limit_nobody_waits(clock: Clock) -> None:
    Pace().wait(10**12)
    assert clock.seconds == 100.0
