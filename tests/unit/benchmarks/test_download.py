"""How the benchmark of downloads counts, and that it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import download
from cachecore.errors import InvalidInput
from downloadbench import server
from downloadbench.report import BEST, Sample, lines_of, make_result, ratios, summaries
from downloadbench.workloads import make_files, workloads


def sample(client: str, seconds: float, *, round: int = 0, **other: Any) -> Sample:
    fields = {"workload": "mix", "size_bytes": 10**9, "durable_seconds": seconds + 1, "cpu_seconds": 0.5}
    more = {"work_seconds": seconds, "work_cpu_seconds": 0.25, "peak_rss_bytes": 10**8}
    return Sample(**{"client": client, "round": round, "seconds": seconds, **fields, **more, **other})


def test_a_ratio_is_the_median_of_those_within_the_rounds() -> None:
    # The machine was three times as slow in the second round, for both.
    samples = [
        sample(client, seconds, round=number)
        for number, pair in enumerate([(1, 2), (3, 6), (1, 4)])
        for client, seconds in zip(("ours", "curl"), pair, strict=True)
    ]
    (ratio,) = ratios(samples)
    assert (ratio.other, ratio.work, ratio.process, ratio.rounds) == ("curl", 2.0, 2.0, 3)


def test_the_best_peer_is_the_faster_of_two_in_each_round() -> None:
    samples = [
        *(sample("ours", 1, round=number) for number in (0, 1)),
        *(sample("s5cmd", seconds, round=number) for number, seconds in enumerate((2, 5))),
        *(sample("rclone", seconds, round=number) for number, seconds in enumerate((4, 3))),
    ]
    assert {ratio.other: ratio.work for ratio in ratios(samples)} == {"s5cmd": 3.5, "rclone": 3.5, BEST: 2.5}


def test_time_until_durable_has_a_ratio_of_its_own() -> None:
    (ratio,) = ratios([sample("ours", 1, durable_seconds=1), sample("curl", 1, durable_seconds=3)])
    assert (ratio.process, ratio.durable) == (1.0, 3.0)


def test_what_failed_counts_nowhere_and_is_told() -> None:
    samples = [sample("ours", 1), sample("curl", 9, error="exit code 1: refused")]
    assert list(ratios(samples)) == []
    assert [found.client for found in summaries(samples)] == ["ours"]
    lines = list(lines_of(make_result(samples, processors=2, scale=1, left_out={"rclone": "not there"})))
    assert "  curl failed in round 1: exit code 1: refused" in lines
    assert lines[-1] == "left out: rclone: not there"


@pytest.mark.parametrize("verified, word", [(True, "verified"), (False, "NOT what the server has"), (None, "100")])
def test_a_line_ends_with_whether_the_copy_was_verified(verified: bool | None, word: str) -> None:
    result = make_result([sample("ours", 1, verified=verified)], processors=2, scale=1, left_out={})
    assert list(lines_of(result))[2].endswith(word)


def test_each_client_has_each_place_in_the_order_once() -> None:
    orders = [download.rotated("abc", number) for number in range(3)]
    assert [sorted(place) for place in zip(*orders, strict=True)] == [["a", "b", "c"]] * 3


def test_an_unknown_name_is_one_clear_line() -> None:
    with pytest.raises(InvalidInput, match="'floppy' is none of ours, curl"):
        download.chosen("--clients", "ours,floppy", ["ours", "curl"])


def test_no_etag_looks_like_that_of_an_upload_in_parts() -> None:
    sizes = [size for workload in workloads().values() for _, size in workload.files]
    assert not any(f"{size:x}".isdecimal() for size in sizes)


def test_files_differ(tmp_path: Path) -> None:
    assert len(set(make_files(workloads(0.0001)["mix"], tmp_path).values())) == 24


def test_ours_and_the_limit_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        server.find_nginx()
    except server.NoServer as error:
        pytest.skip(str(error))
    flags = ("--scale", "0.002", "--rounds", "1", "--clients", "ours,limit", "--directory", str(tmp_path))
    assert download.main([*flags, "--workloads", "mix", "--json", "-"]) == 0
    output = capsys.readouterr().out
    result = json.loads(output[output.index("\n{") :])
    assert [(one["client"], one["error"], one["verified"]) for one in result["samples"]] == [
        ("ours", "", True),
        ("limit", "", None),
    ]
    assert list(tmp_path.iterdir()) == []
