"""Log lines as JSON, one object each, or as text for a person at a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import msgspec

from cachecore.errors import InvalidInput
from cachecore.redaction import redact
from cachecore.timestamps import format_micro_timestamp

# What every LogRecord has; the rest of its fields came with `extra=`.
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
OUR_PACKAGES = ("cachecore", "cachemanager", "cacheagent", "cachewebhook", "cachesim", "__main__")
_OWN_FIELDS = frozenset(("time", "level", "service", "logger", "message", "error"))


class JsonFormatter(logging.Formatter):
    """`{"time","level","service","logger","message", ...fields of extra..., "error" (a traceback)}`."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": format_micro_timestamp(record.created),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(extra_fields(record))
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return redact(msgspec.json.encode(line, enc_hook=str).decode())


class TextFormatter(logging.Formatter):
    """`12:00:00.000 info    message key=value`."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        moment = format_micro_timestamp(record.created)[11:23]
        fields = "".join(f" {name}={value}" for name, value in extra_fields(record).items())
        line = f"{moment} {record.levelname.lower():<7} {self._service}: {record.getMessage()}{fields}"
        return redact(f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line)


def extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave as `extra`; a name that the line has already gets an underscore."""
    return {
        f"{name}_" if name in _OWN_FIELDS else name: value
        for name, value in vars(record).items()
        if name not in _STANDARD_FIELDS
    }


def configure_logging(level: str, format: str, service: str, *, stream: TextIO | None = None) -> None:
    """Send the log of the whole process to `stream` (standard error), in `format` json or text."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise InvalidInput(f"log level {level!r} is not one of: debug, info, warning, error")
    if format not in ("json", "text"):
        raise InvalidInput(f"log format {format!r} is not one of: json, text")
    target = logging.StreamHandler(stream if stream is not None else sys.stderr)
    target.setFormatter(JsonFormatter(service) if format == "json" else TextFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [target]
    # Libraries tell of every request, some with its signature or its headers; our own lines say what matters.
    root.setLevel(max(number, logging.WARNING))
    for package in OUR_PACKAGES:
        logging.getLogger(package).setLevel(number)
