"""The page of a run: whole, escaped, alone, and small."""

from __future__ import annotations

import html.parser
import re
from typing import Any

import msgspec
import pytest

from cachesim.simulation.checkers import Violation
from cachesim.simulation.outcome import Outcome, summarise_starts
from cachesim.simulation.report import render
from cachesim.simulation.report.clock import clock, lasting
from cachesim.simulation.report.thinning import LANES_MAX, merge_spans, thin_points
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, Scenario
from cachesim.simulation.timeline import (
    CopiesPoint,
    CopySpan,
    DiskPoint,
    EvictionMark,
    FaultSpan,
    ModelLine,
    NodeLane,
    Outage,
    PodLife,
    Timeline,
    ViolationMark,
)

END_SECONDS = 3600.0
GIB = 2**30
HOSTILE = '<script>alert("x")</script> & co'
PAGE_BYTES_MAX = 5_000_000

VOID = {"meta", "input", "br", "link"}


def span(begin: float, end: float, state: Any = "held", model: str = "llama") -> CopySpan:
    return CopySpan(model=model, state=state, begin_seconds=begin, end_seconds=end)


def lane(name: str, *copies: CopySpan, outages: tuple[Outage, ...] = ()) -> NodeLane:
    return NodeLane(name=name, copies=copies, disk=(DiskPoint(0.0, GIB),), outages=outages)


def timeline(**fields: Any) -> Timeline:
    whole = Timeline(
        end_seconds=END_SECONDS,
        disk_bytes=10 * GIB,
        limit_bytes=8 * GIB,
        high_watermark=90,
        low_watermark=80,
        nodes=(lane("node-1", span(0, 60, "downloading"), span(60, 900)), lane("node-2")),
        models=(ModelLine(name="llama", size_bytes=GIB, copies=(CopiesPoint(60.0, 1),)),),
        outages=(),
        pods=(),
        faults=(),
        violations=(),
        downloads=(),
        evictions=(),
    )
    return msgspec.structs.replace(whole, **fields)


def page(drawn: Timeline, *, command: str = "localmodel simulate x.yaml", description: str = "shows it") -> str:
    scenario = Scenario(
        name="drawn",
        description=description,
        duration="1h",
        nodes=Nodes(count=2, disk="10Gi"),
        group=NodeGroup(storage_limit="8Gi"),
        models=(Model(name="llama", size="1Gi"),),
    )
    found = tuple(
        Violation(invariant=mark.invariant, time=mark.seconds, message=mark.message) for mark in drawn.violations
    )
    outcome = Outcome(
        ok=not found,
        scenario="drawn",
        seed=7,
        events=1,
        virtual_seconds=END_SECONDS,
        wall_seconds=1.0,
        event_log_hash="sha256:0",
        violations=found,
        cold_starts=summarise_starts([], 0),
        bytes_fetched=0,
        evictions=0,
    )
    return render(drawn, outcome, scenario, command, ("1.000 the last event",))


class Reader(html.parser.HTMLParser):
    """Fails where tags do not nest; keeps attributes and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def ids(self) -> set[str]:
        return {value for _, name, value in self.attributes if name == "id"}


FAULT = FaultSpan(words="agent-crash at 5m", node="node-1", begin_seconds=300.0, end_seconds=360.0)
STRIKE = FaultSpan(words="error at 3rd of agent/node-2", node="node-2", begin_seconds=400.0, end_seconds=None)
BROKEN = ViolationMark(invariant="S6", message=HOSTILE, node="node-1", seconds=500.0)
UNPLACED = ViolationMark(invariant="L1", message="not Ready", node="", seconds=600.0)


def test_tags_nest() -> None:
    outage = Outage(what="agent", begin_seconds=300.0, end_seconds=360.0)
    nodes = (lane("node-1", span(0, 60), outages=(outage,)), lane("node-2"))
    read = Reader(page(timeline(nodes=nodes, faults=(FAULT, STRIKE), violations=(BROKEN, UNPLACED))))
    assert "node-1" in "".join(read.texts)


def test_each_fault_and_violation_is_marked_and_listed() -> None:
    read = Reader(page(timeline(faults=(FAULT, STRIKE), violations=(BROKEN, UNPLACED))))
    anchors = {"fault-1", "fault-2", "violation-1", "violation-2"}
    assert anchors <= read.ids()
    assert {f"#{anchor}" for anchor in anchors} <= {value for _, name, value in read.attributes if name == "href"}


def test_everything_is_escaped() -> None:
    nodes = (lane(HOSTILE, span(0, 900, model=HOSTILE)),)
    fault = msgspec.structs.replace(FAULT, words=HOSTILE, node=HOSTILE)
    drawn = timeline(nodes=nodes, faults=(fault,), violations=(BROKEN,))
    text = page(drawn, command=HOSTILE, description=HOSTILE)
    assert 'alert("x")' not in text
    assert text.count("<script") == 1


def test_nothing_is_fetched() -> None:
    text = page(timeline(faults=(FAULT,)))
    links = {value for _, name, value in Reader(text).attributes if name in ("src", "href", "xlink:href")}
    assert all(link.startswith("#") for link in links)
    assert re.findall(r"https?://|@import|url\((?!#)", text) == []


def test_the_headline_says_what_broke_and_how_to_see_it_again() -> None:
    text = page(timeline(violations=(BROKEN,)), command="localmodel simulate x.yaml --seed 7")
    assert "broken: S6" in text
    assert "localmodel simulate x.yaml --seed 7" in text
    assert "the last event" in text


def test_a_run_that_is_ok_says_so() -> None:
    assert "no invariant was broken" in page(timeline())


def test_a_miss_stands_out() -> None:
    pod = PodLife(
        name="llama-1",
        model="llama",
        node="node-1",
        created_seconds=9.0,
        bound_seconds=10.0,
        ready_seconds=70.0,
        ended_seconds=None,
        hit=False,
    )
    assert "llama-1 bound at 00:00:10: a miss, ready after 1 min 1 s" in page(timeline(pods=(pod,)))


@pytest.fixture(scope="module")
def crowded() -> str:
    """200 nodes whose copies change every 10 seconds."""
    states = ("held", "in use")
    nodes = tuple(
        NodeLane(
            name=f"node-{number}",
            copies=tuple(span(at * 10.0, at * 10.0 + 10, states[at % 2], f"m{number % 5}") for at in range(360)),
            disk=tuple(DiskPoint(float(at), at * 2**20) for at in range(2000)),
            outages=(),
        )
        for number in range(200)
    )
    evicted = tuple(EvictionMark(node="node-9", model="m4", seconds=float(at)) for at in range(3000))
    return page(timeline(nodes=nodes, evictions=evicted, faults=(msgspec.structs.replace(FAULT, node="node-150"),)))


def test_a_crowded_page_stays_small(crowded: str) -> None:
    assert len(crowded.encode()) < PAGE_BYTES_MAX


def test_a_crowded_page_says_what_it_leaves_out(crowded: str) -> None:
    assert f"{LANES_MAX} of 200 nodes have a lane" in crowded
    assert "drawn as one" in crowded
    assert "points per node" in crowded


def test_nodes_with_faults_keep_their_lane(crowded: str) -> None:
    assert "fault-1" in Reader(crowded).ids()


def test_short_spans_become_one_of_the_state_that_lasted_longest() -> None:
    merged = merge_spans([span(0, 1), span(1, 4, "in use"), span(4, 5), span(5, 50)], resolution=10.0)
    assert [(item.span.state, item.span.begin_seconds, item.span.end_seconds) for item in merged] == [
        ("in use", 0, 5),
        ("held", 5, 50),
    ]


def test_thinned_points_keep_the_extremes() -> None:
    points = [DiskPoint(float(at), 1000 if at == 57 else at) for at in range(100)]
    kept = thin_points(points, 100.0, 20)
    assert len(kept) <= 20
    assert DiskPoint(57.0, 1000) in kept


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "00:00:00"), (7999.0, "02:13:19"), (266_400.0, "3d 02:00:00")])
def test_a_time(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.25, "0.2 s"), (42.0, "42 s"), (3720.0, "1 h 2 min"), (3600.0, "1 h")])
def test_a_duration(seconds: float, text: str) -> None:
    assert lasting(seconds) == text
