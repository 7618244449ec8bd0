"""Decisions as log lines: told to whoever listens, and never without end."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
import pytest

from cachecore.adapters.logs import JsonFormatter, TextFormatter
from cachecore.decisions import LINE_BYTES_MAX, SCHEMA, Decision, TooLarge, is_told, tell

Listener: TypeAlias = tuple[logging.Logger, io.StringIO]


class Choice(Decision, frozen=True, kw_only=True, tag_field="kind", tag="choice"):
    words: str = ""


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A logger, and the stream that its lines go to."""
    logger, stream = logging.getLogger("tests.decisions"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("agent"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield logger, stream
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def choice(words: str = "") -> Choice:
    return Choice(schema=SCHEMA, host="node-1", words=words)


def told(listener: Listener) -> dict[str, Any]:
    line: dict[str, Any] = msgspec.json.decode(listener[1].getvalue())["decision"]
    return line


def test_a_decision_is_one_line_with_its_schema_and_kind(listener: Listener) -> None:
    tell(listener[0], choice("left"))
    assert told(listener) == {"kind": "choice", "schema": "localmodel.decision/v1", "host": "node-1", "words": "left"}


def test_what_is_told_can_be_read_again(listener: Listener) -> None:
    tell(listener[0], choice("left"))
    assert msgspec.convert(told(listener), Choice) == choice("left")


def test_a_line_that_would_be_too_long_tells_only_how_long(listener: Listener) -> None:
    tell(listener[0], choice("x" * LINE_BYTES_MAX))
    assert msgspec.convert(told(listener), TooLarge).line_bytes > LINE_BYTES_MAX
    assert len(listener[1].getvalue()) < 1000


def test_nobody_listens_to_a_logger_of_warnings(listener: Listener) -> None:
    assert is_told(listener[0])
    listener[0].setLevel(logging.WARNING)
    assert not is_told(listener[0])


def test_a_person_reads_words_and_not_the_whole_decision() -> None:
    record = logging.makeLogRecord({"msg": "decided", "levelname": "INFO", "decision": choice("left")})
    assert TextFormatter("agent").format(record).endswith("agent: decided decision=localmodel.decision/v1")
