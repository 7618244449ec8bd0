"""Decisions as log lines: what was seen and what was decided, so that a decision can be made again elsewhere.

A line is `{"time", "level", "service", ..., "decision": {"schema": "localmodel.decision/v1", "kind": ..., ...}}`. Each
service has kinds of its own. What can't be decided from a line (credentials, a model's files) isn't in it.
"""

from __future__ import annotations

import logging

import msgspec

from cachecore.resources.serving import LocalModelInfo

SCHEMA = "localmodel.decision/v1"
# Some thousand models: what is more is not for a log, and is told without what was seen.
LINE_BYTES_MAX = 256 * 1024


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The base of the kinds; `host` is the node that is decided about. Kinds have `tag` and `tag_field="kind"`."""

    schema: str
    host: str

    def __str__(self) -> str:
        """For a log that people read: there the words of the line say it."""
        return self.schema


class Seen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The base of what is inside a line."""


class TooLarge(Decision, frozen=True, kw_only=True, tag_field="kind", tag="too-large"):
    """A decision of more than `LINE_BYTES_MAX`: that it was made, and how large its line would have been."""

    line_bytes: int


def without_credentials(entry: LocalModelInfo) -> LocalModelInfo:
    """A model of a node's spec as a log may show it: no decision depends on what opens its source."""
    return msgspec.structs.replace(entry, service_account_name="", storage=None)


def is_told(logger: logging.Logger) -> bool:
    """Whether anybody listens: else a decision need not even be put together."""
    return logger.isEnabledFor(logging.INFO)


def tell(logger: logging.Logger, decision: Decision) -> None:
    line_bytes = len(msgspec.json.encode(decision))
    if line_bytes > LINE_BYTES_MAX:
        decision = TooLarge(schema=decision.schema, host=decision.host, line_bytes=line_bytes)
    logger.info("decided", extra={"decision": decision})
