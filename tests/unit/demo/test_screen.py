from __future__ import annotations

import pytest

from cachesim.demo.outcome import ColdStart, DemoReport, EvictionReport, ModelReport, StepOutcome
from cachesim.demo.screen import Screen

STEP = StepOutcome(name="seed", ok=True, seconds=1.234, detail="put [2] models there")


def test_plain_lines_carry_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.title("the demo")
    with screen.step("Put a model into S3"), screen.progress("llm", 100) as moved:
        for done in range(0, 101, 5):
            moved(done)
    screen.done(STEP)
    written = capsys.readouterr().out
    assert "\x1b" not in written
    assert "\r" not in written
    assert "put [2] models there (1.2 s)" in written
    assert written.count("llm: ") == 4


def test_the_summary_tells_both_starts_and_why_models_went(capsys: pytest.CaptureFixture[str]) -> None:
    report = DemoReport(
        ok=True,
        model=ModelReport(uri="s3://models/llm", key="k", bytes_total=2**20, digest="blake3:00"),
        steps=[STEP],
        cold_start_seconds=ColdStart(uncached=5.0, cached=0.25),
        evictions=[EvictionReport(node="node-1", key="k", reason="LeastRecentlyUsed")],
    )
    Screen().summary(report, {"k": "llm"}, 12.0)
    written = capsys.readouterr().out
    assert "20 times as fast" in written
    assert "llm left node-1: LeastRecentlyUsed" in written
    assert "All is well: 1 of 1 steps, 12 s." in written
