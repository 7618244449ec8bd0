"""What a person reads of a campaign."""

from __future__ import annotations

import msgspec
import pytest

from cachesim.campaign.campaign import SOMETIMES_PLANS
from cachesim.commands.campaign import tell_failure, tell_missed
from cachesim.faults.plan import Fault
from cachesim.simulation.outcome import Failure, Outcome, summarise_starts

FAULT = Fault(when="2nd", where="manager-1 patch Node/node-2", what="error")


def _outcome(plans: int) -> Outcome:
    return Outcome(
        ok=False,
        scenario="s",
        seed=1,
        seeds="1",
        plans=plans,
        events=0,
        virtual_seconds=0.0,
        wall_seconds=0.0,
        event_log_hash="",
        violations=(),
        cold_starts=summarise_starts([], 0),
        bytes_fetched=0,
        evictions=0,
        missed=("two-leaders",),
    )


def test_a_failure_that_was_not_shrunk_has_its_plan_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    plan = [msgspec.to_builtins(FAULT)]
    tell_failure(Failure(seed=7, invariant="S6", message="a copy went", plan=plan, shrunk={}))
    assert capsys.readouterr().out == (
        "\nseed 7 broke S6: a copy went\n  its plan: error at 2nd of manager-1 patch Node/node-2\n"
    )


def test_what_a_large_campaign_has_missed_is_named_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    tell_missed(_outcome(SOMETIMES_PLANS))
    assert "  two-leaders: a manager took the lead while" in capsys.readouterr().out


def test_of_a_small_one_it_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    tell_missed(_outcome(3))
    assert capsys.readouterr().out == f"  situations never seen: 1, which counts from {SOMETIMES_PLANS} plans on\n"
