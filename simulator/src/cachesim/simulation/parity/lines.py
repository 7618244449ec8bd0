"""Reading the logs of agents and managers: which of their lines are decisions, and what these say."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from cacheagent.decisions import NodePlanned
from cachecore.decisions import SCHEMA, TooLarge
from cachecore.errors import InvalidInput
from cachecore.redaction import HIDDEN
from cachemanager.decisions import NodeSpecified
from cachemanager.placement_decisions import CachePlaced

Comparable: TypeAlias = NodePlanned | NodeSpecified | CachePlaced
Decision: TypeAlias = Comparable | TooLarge
# What every line with a decision has in it; the schema's version is looked at once it has been parsed.
_MARK = b'"schema":"localmodel.decision/'


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """A decision and where it was found."""

    where: str
    time: str
    decision: Comparable


class ReadLog(msgspec.Struct, frozen=True, kw_only=True):
    """What a log has: decisions, and in words what of it could not be taken."""

    decisions: tuple[Logged, ...]
    notes: tuple[str, ...] = ()


class _Line(msgspec.Struct, frozen=True):
    decision: msgspec.Raw
    time: str = ""


class _Header(msgspec.Struct, frozen=True):
    schema: str


def read_log(name: str, content: bytes) -> ReadLog:
    """The decisions in a log. Raises `InvalidInput` for one without any, and for a line that can't be read."""
    decisions: list[Logged] = []
    notes: list[str] = []
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        where = f"{name}:{number}"
        if not line.endswith(b"\n") and not _is_json(line):
            notes.append(f"{where}: the last line is cut off, and left out")
        elif _MARK in line:
            time, decision = _decode(where, line)
            if isinstance(decision, TooLarge):
                notes.append(
                    f"{where}: a line of {decision.line_bytes} bytes was too long for the log, and is left out"
                )
            elif HIDDEN.encode() in line:
                notes.append(f"{where}: what it was made from has hidden parts, and is left out")
            else:
                decisions.append(Logged(where=where, time=time, decision=decision))
    if not decisions and not notes:
        raise InvalidInput(
            f"{name}: there is no decision in it; give the log of an agent or a manager with --log-format json "
            "and --log-level info"
        )
    return ReadLog(decisions=tuple(decisions), notes=tuple(notes))


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _decode(where: str, line: bytes) -> tuple[str, Decision]:
    try:
        outer = msgspec.json.decode(line, type=_Line)
        schema = msgspec.json.decode(outer.decision, type=_Header).schema
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{where}: a decision that is cut off or damaged: {error}") from error
    if schema != SCHEMA:
        raise InvalidInput(f"{where}: its schema is {schema}, and only {SCHEMA} can be compared")
    try:
        return outer.time, msgspec.json.decode(outer.decision, type=Decision)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{where}: no decision of {SCHEMA}: {error}") from error
