"""Hearing what production code decides: by its own log, as it is read elsewhere."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import msgspec

from cachecore.decisions import Decision


class Heard(logging.Handler):
    """The decisions that were told since."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.decisions: list[Decision] = []

    def emit(self, record: logging.LogRecord) -> None:
        decision = vars(record).get("decision")
        if isinstance(decision, Decision):
            # By way of JSON, as the other one has come.
            self.decisions.append(msgspec.json.decode(msgspec.json.encode(decision), type=type(decision)))


@contextlib.contextmanager
def hearing(logger: logging.Logger) -> Iterator[Heard]:
    """Listen to a logger that may be silent otherwise, and to nothing that its others hear."""
    heard = Heard()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(heard)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield heard
    finally:
        logger.removeHandler(heard)
        logger.setLevel(level)
        logger.propagate = propagate
