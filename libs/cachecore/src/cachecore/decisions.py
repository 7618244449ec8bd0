"""Decisions as log lines: what was seen and what was decided, so that a decision can be made again elsewhere.

A line is `{"time", "level", "service", ..., "decision": {"schema": "localmodel.decision/v1", "kind": ..., ...}}`. Each
service has kinds of its own. What can't be decided from a line (credentials, a model's files) isn't in it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

SCHEMA = "localmodel.decision/v1"
# Some thousand models: what is more is not for a log, and is told without what was seen.
LINE_BYTES_MAX = 256 * 1024
# A large fleet that changes as a whole writes this much at once, and then no more than a steady trickle (1.4 GB a day):
# where logs are kept for so many bytes, they must not push out all others.
BURST_BYTES = 8 * 1024 * 1024
BYTES_PER_SECOND = 16 * 1024


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The base of the kinds; `host` is the node that is decided about. Kinds have `tag` and `tag_field="kind"`."""

    schema: str
    host: str

    def __str__(self) -> str:
        """For a log that people read: there the words of the line say it."""
        return self.schema


class TooLarge(Decision, frozen=True, kw_only=True, tag_field="kind", tag="too-large"):
    """A decision of more than `LINE_BYTES_MAX`: that it was made, and how large its line would have been."""

    line_bytes: int


class LeftOut(Decision, frozen=True, kw_only=True, tag_field="kind", tag="left-out"):
    """So many decisions before this line, the first of them about `host`, were more than the log may take."""

    decisions: int


class Teller:
    """Writes decisions to one logger, within a budget of bytes."""

    def __init__(self, logger: logging.Logger, monotonic: Callable[[], float]) -> None:
        self._logger = logger
        self._monotonic = monotonic
        self._budget_bytes = float(BURST_BYTES)
        self._budgeted_at_seconds = monotonic()
        self._left_out: LeftOut | None = None

    @property
    def listened_to(self) -> bool:
        """Whether anybody listens: else a decision need not even be put together."""
        return self._logger.isEnabledFor(logging.INFO)

    def tell(self, decision: Decision) -> None:
        """Log it; what is too large, or too much, is only counted."""
        if not self.listened_to:
            return
        self._earn()
        if self._budget_bytes <= 0:
            left_out = self._left_out or LeftOut(schema=decision.schema, host=decision.host, decisions=0)
            self._left_out = msgspec.structs.replace(left_out, decisions=left_out.decisions + 1)
            return
        if self._left_out is not None:
            self._write(self._left_out)
            self._left_out = None
        self._write(decision)

    def _earn(self) -> None:
        now = self._monotonic()
        earned_bytes = (now - self._budgeted_at_seconds) * BYTES_PER_SECOND
        self._budget_bytes = min(self._budget_bytes + earned_bytes, float(BURST_BYTES))
        self._budgeted_at_seconds = now

    def _write(self, decision: Decision) -> None:
        line_bytes = len(msgspec.json.encode(decision))
        if line_bytes > LINE_BYTES_MAX:
            decision = TooLarge(schema=decision.schema, host=decision.host, line_bytes=line_bytes)
        self._budget_bytes -= min(line_bytes, LINE_BYTES_MAX)
        self._logger.info("decided", extra={"decision": decision})
