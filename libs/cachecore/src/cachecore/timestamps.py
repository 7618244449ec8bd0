"""RFC 3339 timestamps, as the API writes them, from and to Unix seconds."""

from __future__ import annotations

from datetime import UTC, datetime


def format_timestamp(unix_seconds: float) -> str:
    """metav1.Time: whole seconds, `2026-01-31T12:00:00Z`."""
    return f"{_utc(int(unix_seconds)).isoformat(timespec='seconds')}Z"


def format_micro_timestamp(unix_seconds: float) -> str:
    """metav1.MicroTime, for leases: `2026-01-31T12:00:00.000000Z`."""
    return f"{_utc(unix_seconds).isoformat(timespec='microseconds')}Z"


def _utc(unix_seconds: float) -> datetime:
    # Without its zone it is written at a third of the cost of `strftime`.
    return datetime.fromtimestamp(unix_seconds, UTC).replace(tzinfo=None)


def parse_timestamp(timestamp: str) -> float:
    """Unix seconds of either form. Raises ValueError."""
    moment = datetime.fromisoformat(timestamp)
    if moment.tzinfo is None:
        raise ValueError(f"{timestamp!r} has no time zone")
    return moment.timestamp()
