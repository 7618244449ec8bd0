"""The parts of a campaign, put together."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cachecore.errors import InvalidInput
from cachesim.campaign.merging import Part, decode_parts, merge
from cachesim.simulation.checkers import Violation
from cachesim.simulation.outcome import SCHEMA, ColdStarts, Failure, Outcome
from cachesim.simulation.seeds import SeedRange

NO_STARTS = ColdStarts(count=0, hit_ratio=0.0, p50_seconds=0.0, p99_seconds=0.0)


def outcome(seeds: str, **fields: Any) -> Outcome:
    whole: dict[str, Any] = {
        "ok": True,
        "scenario": "reference",
        "seed": int(seeds.partition("..")[0] or 0),
        "seeds": seeds,
        "plans": 10,
        "events": 100,
        "virtual_seconds": 1.5,
        "wall_seconds": 0.5,
        "event_log_hash": f"sha256:{seeds}",
        "violations": (),
        "cold_starts": NO_STARTS,
        "bytes_fetched": 7,
        "evictions": 2,
    }
    return Outcome(**{**whole, **fields})


def part(seeds: str, **fields: Any) -> Part:
    return Part(f"{seeds}.json", outcome(seeds, **fields))


def refusal(*parts: Part, wanted: SeedRange | None = None) -> str:
    with pytest.raises(InvalidInput) as refused:
        merge(parts, wanted)
    return str(refused.value)


def test_numbers_are_sums_over_all_seeds() -> None:
    merged = merge([part("11..20"), part("1..10")])
    assert (merged.seeds, merged.seed, merged.plans, merged.events) == ("1..20", 1, 20, 200)
    assert (merged.virtual_seconds, merged.wall_seconds) == (3.0, 1.0)
    assert (merged.bytes_fetched, merged.evictions, merged.ok) == (14, 4, True)


def test_the_order_of_the_parts_does_not_matter() -> None:
    parts = [part("1..10", sometimes={"b": 1}), part("11..20", sometimes={"a": 2}), part("21..30")]
    assert merge(parts) == merge(parts[::-1])


def test_two_versions_of_a_scenario_are_not_one_campaign() -> None:
    words = refusal(part("1..10", scenario_digest="sha256:a"), part("11..20", scenario_digest="sha256:b"))
    assert words == "11..20.json and 1..10.json are of two versions of scenario reference: run one of the parts again"


def test_what_was_sometimes_seen_is_counted_over_all() -> None:
    merged = merge([part("1..10", sometimes={"b": 1, "a": 2}), part("11..20", sometimes={"b": 3})])
    assert merged.sometimes == {"a": 2, "b": 4}


def test_only_what_every_part_has_missed_is_missed() -> None:
    merged = merge([part("1..10", missed=("a", "b")), part("11..20", missed=("b", "c"))])
    assert merged.missed == ("b",)


@pytest.mark.parametrize("plans, ok", [(200, True), (300, False)])
def test_what_is_missed_counts_from_as_many_plans_on_as_in_a_campaign(plans: int, ok: bool) -> None:
    parts = [part("1..10", missed=("a",), plans=plans), part("11..20", missed=("a",), plans=200)]
    assert merge(parts).ok is ok


def test_a_violation_of_one_part_fails_the_whole() -> None:
    found = Violation(invariant="S1", time=3.0, message="deleted")
    failure = Failure(seed=12, invariant="S1", message="deleted", plan=[], shrunk={})
    merged = merge([part("1..10"), part("11..20", ok=False, violations=(found,), failures=(failure,))])
    assert (merged.ok, merged.violations, merged.failures) == (False, (found,), (failure,))


def test_ratios_are_weighted_by_their_starts() -> None:
    few = ColdStarts(count=1, hit_ratio=1.0, p50_seconds=1.0, p99_seconds=10.0)
    many = ColdStarts(count=3, hit_ratio=0.0, p50_seconds=5.0, p99_seconds=50.0)
    merged = merge([part("1..10", cold_starts=few), part("11..20", cold_starts=many)])
    assert merged.cold_starts == ColdStarts(count=4, hit_ratio=0.25, p50_seconds=4.0, p99_seconds=40.0)


def test_a_single_run_is_a_part_too() -> None:
    assert merge([part("1..10"), Part("one.json", outcome("", seed=11, plans=1))]).seeds == "1..11"


def test_a_seed_in_two_parts_is_refused() -> None:
    assert refusal(part("1..10"), part("8..20")) == (
        "seeds 8..10 are in two parts (1..10.json, 8..20.json): leave one of them out"
    )


def test_a_gap_is_refused_with_what_would_fill_it() -> None:
    assert refusal(part("1..10"), part("21..30")) == (
        "seeds 11..20 are in no part: run them (--seeds 11..20) and merge them too"
    )


def test_a_part_that_was_interrupted_leaves_a_gap() -> None:
    assert "seeds 4 are in no part" in refusal(part("1..3,5..10"))


def test_what_is_wanted_must_all_be_there() -> None:
    assert "seeds 21..30 are in no part" in refusal(part("1..10"), part("11..20"), wanted=SeedRange(1, 30))
    assert merge([part("1..10"), part("11..20")], SeedRange(1, 20)).seeds == "1..20"


def test_another_scenario_is_refused() -> None:
    assert refusal(part("1..10"), part("11..20", scenario="first")) == (
        "11..20.json is of scenario first, 1..10.json of reference: only parts of one campaign can be merged"
    )


def test_a_file_is_read_as_it_was_written() -> None:
    content = msgspec.json.format(msgspec.json.encode(outcome("1..10")), indent=2)
    assert decode_parts("a.json", content) == [Part("a.json", outcome("1..10"))]


def test_outcomes_are_found_in_the_logs_of_pods() -> None:
    lines = [
        b"4 of 10 plans",
        msgspec.json.encode(outcome("1..10")),
        b"{ not ours",
        msgspec.json.encode(outcome("11..20")),
    ]
    assert [found.outcome.seeds for found in decode_parts("log", b"\n".join(lines))] == ["1..10", "11..20"]


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "x: there is no outcome of localmodel simulate in it"),
        (b"nothing\nof ours\n", "x: there is no outcome of localmodel simulate in it"),
        (b'{"schema":"other/v1"}', f"x: its schema is other/v1, and only {SCHEMA} can be merged"),
        (b"{}", "x: no outcome of localmodel simulate, or not all of it: "),
        (msgspec.json.encode(outcome("1..10"))[:90], "x: no outcome of localmodel simulate, or not all of it: "),
    ],
)
def test_what_is_no_outcome_is_refused_in_one_line(content: bytes, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode_parts("x", content)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)
