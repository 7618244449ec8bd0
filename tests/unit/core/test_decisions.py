"""Decisions as log lines: told to whoever listens, and never without end."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
import pytest

from cachecore.adapters.logs import JsonFormatter, TextFormatter
from cachecore.decisions import (
    BURST_BYTES,
    BYTES_PER_SECOND,
    LINE_BYTES_MAX,
    SCHEMA,
    Decision,
    LeftOut,
    Teller,
    TooLarge,
)

Listener: TypeAlias = tuple[Teller, io.StringIO]


class Choice(Decision, frozen=True, kw_only=True, tag_field="kind", tag="choice"):
    words: str = ""


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("tests.decisions")
    made.setLevel(logging.INFO)
    yield made
    made.setLevel(logging.NOTSET)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def listener(logger: logging.Logger, clock: Clock) -> Iterator[Listener]:
    """A teller, and the stream that its lines go to."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("agent"))
    logger.addHandler(handler)
    yield Teller(logger, clock), stream
    logger.removeHandler(handler)


def choice(words: str = "") -> Choice:
    return Choice(schema=SCHEMA, host="node-1", words=words)


def lines(listener: Listener) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line)["decision"] for line in listener[1].getvalue().splitlines()]


def told(listener: Listener) -> dict[str, Any]:
    (line,) = lines(listener)
    return line


def spend(listener: Listener) -> None:
    """Tell as much as the log takes at once."""
    for _ in range(BURST_BYTES // (LINE_BYTES_MAX // 2)):
        listener[0].tell(choice("x" * (LINE_BYTES_MAX // 2)))


def test_a_decision_is_one_line_with_its_schema_and_kind(listener: Listener) -> None:
    listener[0].tell(choice("left"))
    assert told(listener) == {"kind": "choice", "schema": "localmodel.decision/v1", "host": "node-1", "words": "left"}


def test_what_is_told_can_be_read_again(listener: Listener) -> None:
    listener[0].tell(choice("left"))
    assert msgspec.convert(told(listener), Choice) == choice("left")


def test_a_line_that_would_be_too_long_tells_only_how_long(listener: Listener) -> None:
    listener[0].tell(choice("x" * LINE_BYTES_MAX))
    assert msgspec.convert(told(listener), TooLarge).line_bytes > LINE_BYTES_MAX
    assert len(listener[1].getvalue()) < 1000


def test_nobody_listens_to_a_logger_of_warnings(listener: Listener, logger: logging.Logger) -> None:
    assert listener[0].listened_to
    logger.setLevel(logging.WARNING)
    assert not listener[0].listened_to


def test_what_is_too_much_for_the_log_is_counted(listener: Listener, clock: Clock) -> None:
    spend(listener)
    before = len(lines(listener))
    for _ in range(3):
        listener[0].tell(choice("left"))
    assert len(lines(listener)) == before
    clock.seconds += LINE_BYTES_MAX / BYTES_PER_SECOND
    listener[0].tell(choice("right"))
    left_out, after = lines(listener)[before:]
    assert msgspec.convert(left_out, LeftOut).decisions == 3
    assert after["words"] == "right"


def test_a_person_reads_words_and_not_the_whole_decision() -> None:
    record = logging.makeLogRecord({"msg": "decided", "levelname": "INFO", "decision": choice("left")})
    assert TextFormatter("agent").format(record).endswith("agent: decided decision=localmodel.decision/v1")
