"""How long cold starts took, and how a replay went over time. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cachesim.planning.outcome import Picture, Series, Wave
from cachesim.planning.report.axes import (
    RATE,
    SECONDS,
    SHARE,
    Scale,
    Unit,
    fitting,
    side_by_side,
    stacked,
    ticks,
    time_ticks,
)
from cachesim.planning.report.charts import LEFT, RIGHT, Chart, Key, Line, Panel, numbered, path, style
from cachesim.planning.report.words import label, varying

_TOP = 12.0
_BOTTOM = 222.0
_HEIGHT = 264.0
# Under numbered flags.
_PANELS_TOP = 36.0
_PANEL_HEIGHT = 76.0
_PANEL_DISTANCE = 104.0


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A picture over time, and what happened in it."""

    name: str
    chart: Chart
    waves: tuple[Wave, ...]


def names_of(pictures: Sequence[Picture]) -> list[str]:
    """What tells each picture from the others."""
    names = varying([picture.parameters for picture in pictures])
    return [label(picture.parameters, names) for picture in pictures]


def distribution(pictures: Sequence[Picture]) -> Chart | None:
    """The share of starts that took at most so long, for all pictures; None where nothing started."""
    seconds = [most for picture in pictures for most in picture.cold_start_bins if most > 0]
    if not seconds:
        return None
    x = Scale(low=min(seconds) / 1.15, high=max(seconds) * 1.15, begin=LEFT, end=RIGHT, log=True)
    y = Scale(low=0.0, high=1.0, begin=_BOTTOM, end=_TOP)
    lines = tuple(
        Line(
            path=path(
                (x.at(seconds), y.at(share))
                for seconds, share in zip(picture.cold_start_bins, picture.cold_starts, strict=True)
            ),
            colour=style(number).colour,
            dashes=style(number).dashes,
            title=name,
        )
        for number, (picture, name) in enumerate(zip(pictures, names_of(pictures), strict=True))
    )
    panel = Panel(caption="", top=_TOP, bottom=_BOTTOM, ticks=stacked(ticks(y, SHARE)), lines=lines)
    return Chart(
        title="share of starts by how long they took at most",
        height=_HEIGHT,
        panels=(panel,),
        ticks=side_by_side(ticks(x, SECONDS)),
        caption="from creation to Ready, at most; logarithmic",
    )


def distribution_keys(pictures: Sequence[Picture]) -> tuple[Key, ...]:
    return tuple(
        Key(text=name, colour=style(number).colour, dashes=style(number).dashes)
        for number, name in enumerate(names_of(pictures))
    )


def stories(pictures: Sequence[Picture]) -> tuple[Story, ...]:
    """Each picture over time, all on the same scales: what is higher on the page was more."""
    if not pictures:
        return ()
    end = max(_end_seconds(picture.waits) for picture in pictures)
    time = Scale(low=0.0, high=end or 1.0, begin=LEFT, end=RIGHT)
    return tuple(
        Story(name=name, chart=_story(picture, pictures, time, name), waves=picture.waves)
        for picture, name in zip(pictures, names_of(pictures), strict=True)
    )


def waits_known(picture: Picture) -> list[float | None]:
    """The p99 of each step; None where nothing started."""
    starts = picture.starts.values
    return [
        seconds if index >= len(starts) or starts[index] else None for index, seconds in enumerate(picture.waits.values)
    ]


def _end_seconds(series: Series) -> float:
    return series.step_seconds * len(series.values)


def _story(picture: Picture, pictures: Sequence[Picture], time: Scale, name: str) -> Chart:
    waits = [seconds for each in pictures for seconds in waits_known(each) if seconds is not None]
    egress = [rate for each in pictures for rate in each.egress.values]
    disk = [share for each in pictures for share in each.disk_used_max.values]
    tops = [_PANELS_TOP + number * _PANEL_DISTANCE for number in range(3)]
    bottoms = [top + _PANEL_HEIGHT for top in tops]
    wait_scale = fitting(waits, bottoms[0], tops[0])
    # Egress is 0 for hours in many a plan, and its peaks are what matters.
    egress_scale = Scale(low=0.0, high=max(egress, default=0.0) * 1.06 or 1.0, begin=bottoms[1], end=tops[1])
    disk_scale = Scale(low=0.0, high=max(1.06, *disk), begin=bottoms[2], end=tops[2])
    shown, unit = time_ticks(time)
    wait = _line(picture.waits.step_seconds, waits_known(picture), time, wait_scale, "colour-1", "p99 of cold starts")
    moved = _line(picture.egress.step_seconds, picture.egress.values, time, egress_scale, "colour-0", "egress")
    mean, most = picture.disk_used_mean, picture.disk_used_max
    used = (
        _line(mean.step_seconds, mean.values, time, disk_scale, "colour-2", "mean of the nodes"),
        _line(most.step_seconds, most.values, time, disk_scale, "colour-4", "fullest node", dashes="dashes-1"),
    )
    logarithmic = "; logarithmic" if wait_scale.log else ""
    return Chart(
        title=f"{name} over time: cold starts, egress, disk use",
        height=bottoms[2] + 42,
        panels=(
            _panel(f"p99 cold start{logarithmic}", wait_scale, SECONDS, (wait,)),
            _panel("egress", egress_scale, RATE, (moved,)),
            _panel("disk use of the limit: mean, and fullest node (dashed)", disk_scale, SHARE, used, limit=1.0),
        ),
        ticks=shown,
        caption=unit,
        flags=numbered([time.at(wave.seconds) for wave in picture.waves]),
    )


def _panel(caption: str, scale: Scale, unit: Unit, lines: tuple[Line, ...], limit: float | None = None) -> Panel:
    return Panel(
        caption=caption,
        top=scale.end,
        bottom=scale.begin,
        ticks=stacked(ticks(scale, unit)),
        lines=lines,
        limit=None if limit is None else scale.at(limit),
    )


def _line(
    step_seconds: float,
    values: Sequence[float | None],
    time: Scale,
    scale: Scale,
    colour: str,
    title: str,
    *,
    dashes: str = "",
) -> Line:
    """Each value in the middle of its slice of time."""
    drawn = path(
        None if value is None else (time.at((index + 0.5) * step_seconds), scale.at(value))
        for index, value in enumerate(values)
    )
    return Line(path=drawn, colour=colour, dashes=dashes, title=title)
