"""Stepping through a run: how far each command goes."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from cachecore.errors import InvalidInput
from cachesim.simulation.event_log import Event
from cachesim.simulation.replay import Pace, Replay, read_command


@pytest.mark.parametrize(
    ("text", "pace"),
    [
        ("", Pace(events=1)),
        ("12", Pace(events=12)),
        ("t 120", Pace(until_seconds=120.0)),
        ("t0.5", Pace(until_seconds=0.5)),
        ("F", Pace(until_trouble=True)),
        ("q", Pace(stop=True)),
    ],
)
def test_commands(text: str, pace: Pace) -> None:
    assert read_command(text) == pace


@pytest.mark.parametrize("text", ["0", "-3", "t", "t soon", "help"])
def test_anything_else_is_answered_with_what_may_be_typed(text: str) -> None:
    with pytest.raises(InvalidInput, match="q: quit"):
        read_command(text)


def replay(events: Iterable[Event], commands: list[str] | None) -> list[str]:
    """What is shown; each question takes the next command, and shows it."""
    shown: list[str] = []
    typed = iter(commands or ())

    def ask() -> str:
        command = next(typed, "q")
        shown.append(f"> {command}")
        return command

    told = Replay(
        lambda event: str(event.subject), shown.append, ask=None if commands is None else ask, stop=lambda: None
    )
    for event in events:
        told.observe(event)
    told.end()
    return [line.strip() for line in shown]


def events(*kinds: str) -> list[Event]:
    return [Event(float(number), kind, kind) for number, kind in enumerate(kinds)]


def test_without_a_terminal_everything_is_shown() -> None:
    assert replay(events("api", "disk"), None) == ["0.000  api", "1.000  disk", "The run is over."]


def test_enter_shows_the_next_event() -> None:
    assert replay(events("api", "disk", "api"), [""]) == ["0.000  api", ">", "1.000  disk", "> q"]


def test_a_number_shows_so_many() -> None:
    assert replay(events("a", "b", "c", "d"), ["2"]) == ["0.000  a", "> 2", "1.000  b", "2.000  c", "> q"]


def test_to_a_time_is_shown_where_it_leads_alone() -> None:
    shown = replay(events("a", "b", "c", "d"), ["t 2"])
    assert shown == ["0.000  a", "> t 2", "(1 events passed)", "2.000  c", "> q"]


@pytest.mark.parametrize("kind", ["fault", "violation"])
def test_to_trouble(kind: str) -> None:
    shown = replay(events("a", "heal", kind, "b"), ["f"])
    assert shown == ["0.000  a", "> f", "(1 events passed)", f"2.000  {kind}", "> q"]


def test_a_wrong_command_is_asked_again() -> None:
    shown = replay(events("a", "b"), ["what", ""])
    assert [line for line in shown if line.startswith((">", "1.000"))] == ["> what", ">", "1.000  b", "> q"]


def test_events_without_news_are_left_out() -> None:
    assert replay([Event(0.0, "api", ""), Event(1.0, "api", "news")], None) == ["1.000  news", "The run is over."]
