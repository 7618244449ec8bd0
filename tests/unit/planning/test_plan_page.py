"""The page of a plan: whole, escaped, alone, and true to the numbers."""

from __future__ import annotations

import html.parser
import re
from typing import Any

import msgspec
import pytest

from cachesim.planning.outcome import (
    ColdStartSeconds,
    Comparison,
    Cost,
    Interval,
    Picture,
    PlanOutcome,
    Point,
    Recommendation,
    Series,
    Wave,
)
from cachesim.planning.report import render
from cachesim.planning.report.axes import SECONDS, Scale, fitting, ticks
from cachesim.planning.report.charts import numbered, path, style
from cachesim.planning.report.sidebyside import by_point, policies
from cachesim.planning.report.tradeoff import numeric_axis
from cachesim.planning.report.words import compared, count, money, number_of, short

GIB = 2**30
HOSTILE = '<script>alert("x")</script> & co'
SECTIONS = ("recommendation", "tradeoff", "policies", "distribution", "time", "heat", "points", "assumptions")
VOID = {"meta", "br"}


def point(disk: str = "1Ti", policy: str = "LRU", *, p99: float = 60.0, ratio: float | None = 1.18) -> Point:
    bound = 10 * GIB
    return Point(
        parameters={"disk": disk, "policy": policy},
        cold_start_seconds=ColdStartSeconds(p50=9.0, p95=21.0, p99=p99, ci95=(p99 * 0.9, p99 * 1.1)),
        hit_ratio=0.9142,
        byte_hit_ratio=0.9,
        bytes_fetched=bound * (ratio or 1.0),
        prefetched_bytes=GIB,
        bound_bytes=bound,
        ratio_to_bound=ratio,
        misses=40.5,
        bound_misses=30,
        miss_ratio_to_bound=None if ratio is None else 1.35,
        evictions=12,
        unready=0,
        starts=60_000,
        replications=5,
        intervals={}
        if ratio is None
        else {"ratio_to_bound": Interval(value=ratio, low=ratio - 0.02, high=ratio + 0.04)},
    )


POINTS = tuple(
    point(disk, policy, p99=p99 * more, ratio=ratio * more)
    for policy, more in (("LRU", 1.0), ("LRFU", 0.95))
    for disk, p99, ratio in (("512Gi", 600.0, 1.9), ("1Ti", 60.0, 1.4), ("2Ti", 20.0, 1.1))
)
TIE = Comparison(
    parameters={"disk": "1Ti"},
    first="LRU",
    second="LFU",
    metric="bytes_fetched",
    difference=Interval(value=0.01, low=-0.02, high=0.04),
    apart=False,
)
APART = msgspec.structs.replace(TIE, second="LRFU", difference=Interval(value=-0.12, low=-0.15, high=-0.09), apart=True)


def outcome(**fields: Any) -> PlanOutcome:
    whole = PlanOutcome(
        scenario="sizing",
        seed=7,
        points=POINTS,
        recommendation=Recommendation(parameters=POINTS[1].parameters, why="disk=1Ti policy=LRU is enough."),
        requests=360_000,
        wall_seconds=12.0,
        comparisons=(TIE, APART),
        assumptions=("Disks are empty at the beginning.",),
        command="localmodel plan sizing.yaml --vary disk=512Gi,1Ti,2Ti",
    )
    return msgspec.structs.replace(whole, **fields)


def series(*values: float) -> Series:
    return Series(step_seconds=86400.0, values=values)


def picture(policy: str = "LRU", **fields: Any) -> Picture:
    whole = Picture(
        parameters={"disk": "1Ti", "policy": policy},
        cold_start_bins=(6.0, 9.0, 60.0),
        cold_starts=(0.3, 0.9, 1.0),
        waits=series(60.0, 0.0, 20.0),
        starts=series(100.0, 0.0, 90.0),
        egress=series(2.0 * GIB, 0.0, GIB),
        disk_used_mean=series(0.2, 0.5, 0.6),
        disk_used_max=series(0.5, 0.8, 1.0),
        heat_seconds=(43200.0,),
        heat_nodes=("node-1", "node-2"),
        heat_models=("llama", "qwen"),
        heat=(((1.0, 0.25), (0.0, 0.0)),),
        waves=(Wave(seconds=90000.0, words="zone 1 is lost"),),
    )
    return msgspec.structs.replace(whole, **fields)


class Reader(html.parser.HTMLParser):
    """Fails where tags do not nest; keeps attributes, and texts by tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[tuple[str, str]] = []
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
        self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, tag: str) -> list[str]:
        return [text for where, text in self.texts if where == tag]


@pytest.fixture(scope="module")
def page() -> str:
    return render(outcome(), [picture(), picture("LRFU")])


def test_every_section_is_there_in_order(page: str) -> None:
    found = [value for tag, name, value in Reader(page).attributes if (tag, name) == ("section", "id")]
    assert found == list(SECTIONS)


def test_nothing_is_fetched_and_nothing_runs(page: str) -> None:
    assert re.findall(r"https?://|@import|url\((?!#)|<script|<link|<img|\bon\w+=", page) == []
    assert {name for _, name, _ in Reader(page).attributes} & {"src", "href", "xlink:href"} == set()


def test_every_image_has_a_title(page: str) -> None:
    images = re.findall(r'<svg[^>]*role="img"[^>]*>\s*(\S+)', page)
    assert len(images) == 9
    assert {image.partition(">")[0] for image in images} == {"<title"}


def test_everything_is_escaped() -> None:
    hostile = msgspec.structs.replace(POINTS[0], parameters={"disk": "1Ti", "policy": HOSTILE})
    drawn = picture(HOSTILE, heat_models=(HOSTILE, "qwen"), waves=(Wave(seconds=1.0, words=HOSTILE),))
    whole = outcome(
        scenario=HOSTILE,
        points=(hostile, *POINTS[1:]),
        recommendation=Recommendation(parameters=hostile.parameters, why=HOSTILE),
        comparisons=(msgspec.structs.replace(APART, second=HOSTILE),),
        **dict.fromkeys(("slo", "assumptions", "notes"), (HOSTILE,)),
        command=HOSTILE,
    )
    text = render(whole, [drawn])
    Reader(text)
    assert "<script" not in text
    assert 'alert("x")' not in text


def test_the_headline_says_what_is_recommended_and_what_it_has(page: str) -> None:
    figures = Reader(page).of("dd")
    assert "disk=1Ti policy=LRU is enough." in page
    assert figures == ["1Ti", "LRU", "9.0 s", "21 s", "1 min", "54 s to 1 min 6 s", "91.4 %", "14.0 GiB", "1.40 x"]


def test_costs_are_there_when_there_are_prices() -> None:
    priced = [msgspec.structs.replace(one, cost=Cost(total=12345.6, disk=45.6, egress=12300.0)) for one in POINTS]
    text = render(outcome(points=tuple(priced), prices={"disk": 0.08}), [])
    assert "12,346" in Reader(text).of("dd")
    assert "disk=0.08" in text


@pytest.mark.parametrize(("meets", "words"), [(True, "meets cold_start_p99"), (False, "nothing that was tried meets")])
def test_the_verdict_on_what_was_asked_for(meets: bool, words: str) -> None:
    judged = tuple(msgspec.structs.replace(one, meets=meets) for one in POINTS)
    assert words in render(outcome(points=judged, slo=("cold_start_p99<30s",)), [])


def test_policies_are_compared_in_words() -> None:
    assert compared(TIE) == "disk=1Ti: LRU and LFU can't be told apart."
    assert compared(APART) == "disk=1Ti: LRFU fetches 12.0 % less than LRU (9.0 to 15.0 %)."


def test_a_tie_is_said_on_the_page(page: str) -> None:
    assert any("can't be told apart" in text for text in Reader(page).of("li"))


def test_intervals_are_drawn_and_written(page: str) -> None:
    titles = Reader(page).of("title")
    assert "disk=1Ti LRU: p99 1 min, 95 % interval 54 s to 1 min 6 s".replace(" LRU", " policy=LRU") in titles
    assert any("1.40 x (95 % interval 1.38 x to 1.44 x)" in title for title in titles)
    # A whisker for each of six points: p99 twice, the ratio once; nothing is known of the bytes.
    assert page.count('class="whisker"') == 18


def test_each_point_is_a_row_and_the_recommended_one_is_marked(page: str) -> None:
    table = page[page.index('<section id="points">') :]
    assert table.count("<tr") == len(POINTS) + 1
    assert table.count('class="chosen"') == 1
    assert "localmodel plan sizing.yaml" in table


def test_one_point_is_a_page() -> None:
    text = render(outcome(points=POINTS[1:2], comparisons=()), [picture()])
    Reader(text)
    assert "a row for each point" in text
    assert "One policy was tried" in text


def test_a_plan_as_it_is_has_no_parameters() -> None:
    bare = msgspec.structs.replace(POINTS[0], parameters={})
    whole = outcome(points=(bare,), recommendation=Recommendation(parameters={}, why="As it is."), comparisons=())
    text = render(whole, [msgspec.structs.replace(picture(), parameters={})])
    Reader(text)
    assert "as it is" in text


def test_without_pictures_it_says_so() -> None:
    text = render(outcome(), [])
    Reader(text)
    assert text.count("No point was drawn.") == 3


def test_a_picture_in_which_nothing_happened() -> None:
    nothing = dict.fromkeys(("cold_start_bins", "cold_starts", "heat_nodes", "heat_models", "waves"), ())
    empty = dict.fromkeys(("waits", "starts", "egress", "disk_used_mean", "disk_used_max"), series(0.0, 0.0))
    text = render(outcome(), [msgspec.structs.replace(picture(), **nothing, **empty, heat=((),))])
    Reader(text)
    assert "No node fetched anything." in text


def test_what_is_not_known_is_a_dash() -> None:
    unknown = point(ratio=None)
    unknown = msgspec.structs.replace(unknown, cold_start_seconds=ColdStartSeconds(p50=0.0, p95=0.0, p99=0.0))
    text = render(outcome(points=(unknown, point(policy="LFU", ratio=None))), [])
    cells = Reader(text[text.index('<section id="points">') :].removesuffix("</body>\n</html>")).of("td")
    assert "\N{EN DASH}" in cells
    assert "None" not in text


def test_moments_are_marked_and_told(page: str) -> None:
    read = Reader(page)
    # One beside its number and one in each of three panels, for each picture.
    assert page.count('class="wave"') == 8
    # Both pictures had the same one: told once.
    assert sum("zone 1 is lost" in text for text in read.of("li")) == 1


def test_a_time_without_starts_is_a_gap() -> None:
    assert path([(0.0, 1.0), (1.0, 1.0), None, (3.0, 2.0)]) == "M0 1L1 1M3 2"


def test_cells_say_what_they_are(page: str) -> None:
    titles = Reader(page).of("title")
    assert titles.count("node-1, qwen: 25.0 %") == 2
    assert "heat-10" in page


@pytest.mark.parametrize(
    ("value", "number"),
    [("1Ti", 2.0**40), ("1.5", 1.5), ("2x", 2.0), ("80Gbps", 1e10), ("LRU", None), ("all", None), ("", None)],
)
def test_the_number_in_a_value(value: str, number: float | None) -> None:
    assert number_of(value) == number


def test_x_is_the_first_parameter_that_varies_by_numbers() -> None:
    assert numeric_axis(POINTS) == "disk"
    assert numeric_axis([POINTS[0], POINTS[3]]) is None


def test_a_scale_that_spans_much_is_logarithmic() -> None:
    assert fitting([1.0, 30.0], 0, 100).log
    assert not fitting([2.0, 30.0], 0, 100).log
    assert not fitting([0.0], 0, 100).log


def test_values_beyond_a_scale_are_at_its_edge() -> None:
    scale = Scale(low=1.0, high=100.0, begin=200.0, end=0.0, log=True)
    assert [scale.at(value) for value in (0.0, 1.0, 10.0, 1000.0)] == [200.0, 200.0, 100.0, 0.0]


def test_ticks_are_round() -> None:
    scale = Scale(low=0.0, high=130.0, begin=0, end=100)
    assert [tick.text for tick in ticks(scale, SECONDS)] == ["0", "30 s", "1 min", "1 min 30 s", "2 min"]


def test_names_stand_beside_their_dots_or_above_where_they_are_long() -> None:
    assert [chart.above for chart in (*policies(POINTS), *by_point(POINTS))] == [False, False, True, True]


def test_flags_too_near_to_each_other_share_a_number() -> None:
    assert [flag.text for flag in numbered([10.0, 12.0, 60.0])] == ["1\N{EN DASH}2", "", "3"]


def test_no_two_of_many_look_alike() -> None:
    assert len({(style(number).colour, style(number).shape) for number in range(40)}) == 40
    assert len({(style(number).colour, style(number).dashes) for number in range(35)}) == 35


def test_numbers_as_people_read_them() -> None:
    assert (money(1234567.8), money(9.5)) == ("1,234,568", "9.50")
    assert (count(40.5), count(1234.5), count(3.0)) == ("40.5", "1,234", "3")
    assert short("meta-llama-3.1-70b-instruct", 14) == "meta-l\N{HORIZONTAL ELLIPSIS}nstruct"
