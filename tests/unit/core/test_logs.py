from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from cachecore.adapters.logs import OUR_PACKAGES, configure_logging
from cachecore.errors import InvalidInput

logger = logging.getLogger("cachecore.somewhere")


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Give the loggers back as they were: pytest has handlers at the root."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    levels = [(logger, logger.level) for logger in (root, *map(logging.getLogger, OUR_PACKAGES))]
    yield
    root.handlers[:] = handlers
    for each, level in levels:
        each.setLevel(level)


def written(level: str = "info", format: str = "json") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(level, format, "agent", stream=stream)
    return stream


def only_line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    content: dict[str, Any] = json.loads(line)
    return content


def test_a_line_is_one_json_object_with_its_extra_fields() -> None:
    stream = written()
    logger.info("copied %d bytes", 5, extra={"key": "abc", "model_bytes": 5})
    line = only_line(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "service": "agent",
        "logger": "cachecore.somewhere",
        "message": "copied 5 bytes",
        "key": "abc",
        "model_bytes": 5,
    }


def test_a_traceback_stays_within_its_line() -> None:
    stream = written()
    logger.error("failed", exc_info=ValueError("broken"))
    line = only_line(stream)
    assert line["level"] == "error"
    assert "ValueError: broken" in line["error"]


def test_an_extra_field_never_replaces_one_of_the_lines_own() -> None:
    stream = written()
    logger.info("m", extra={"service": "other"})
    line = only_line(stream)
    assert (line["service"], line["service_"]) == ("agent", "other")


def test_what_json_has_no_form_for_is_written_as_text() -> None:
    stream = written()
    logger.info("m", extra={"error_class": ValueError("x")})
    assert only_line(stream)["error_class"] == "x"


def test_lines_below_the_level_are_left_out() -> None:
    stream = written("warning")
    logger.info("quiet")
    logger.warning("loud")
    assert only_line(stream)["message"] == "loud"


def test_text_is_for_people() -> None:
    stream = written(format="text")
    logger.info("copied", extra={"key": "abc"})
    assert stream.getvalue().endswith(" info    agent: copied key=abc\n")


@pytest.mark.parametrize(("level", "format"), [("loud", "json"), ("info", "xml")])
def test_unknown_words_are_refused(level: str, format: str) -> None:
    with pytest.raises(InvalidInput, match="is not one of"):
        configure_logging(level, format, "agent")


@pytest.mark.parametrize("library", ["botocore.endpoint", "urllib3.connectionpool", "google.auth", "any_other"])
def test_what_libraries_tell_of_each_request_is_left_out(library: str) -> None:
    stream = written("debug")
    logging.getLogger(library).info("GET /model?X-Amz-Signature=swordfish")
    logger.debug("ours")
    assert only_line(stream)["message"] == "ours"


@pytest.mark.parametrize("format", ["json", "text"])
def test_signatures_in_a_line_or_its_traceback_are_hidden(format: str) -> None:
    stream = written(format=format)
    url = "https://host/model?X-Amz-Signature=swordfish"
    logging.getLogger("urllib3").warning("retrying %s", url, exc_info=ValueError(url))
    assert "swordfish" not in stream.getvalue()
    assert "https://host/model" in stream.getvalue()
