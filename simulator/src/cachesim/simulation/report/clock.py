"""Virtual times and durations as a person reads them."""

from __future__ import annotations

MINUTE_SECONDS = 60
HOUR_SECONDS = 3600
DAY_SECONDS = 86400

_STEPS = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 864000, 2592000),
)
_TICKS_MAX = 8


def clock(seconds: float) -> str:
    """A time since the run began: `02:13:19`, `3d 02:13:19`."""
    whole = round(seconds)
    days, rest = divmod(whole, DAY_SECONDS)
    hours, rest = divmod(rest, HOUR_SECONDS)
    minutes, left = divmod(rest, MINUTE_SECONDS)
    return f"{f'{days}d ' if days else ''}{hours:02}:{minutes:02}:{left:02}"


def lasting(seconds: float) -> str:
    """A duration in its two largest units: `1 h 2 min`, `42 s`, `0.3 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    units = ((DAY_SECONDS, "d"), (HOUR_SECONDS, "h"), (MINUTE_SECONDS, "min"), (1, "s"))
    parts: list[str] = []
    for size, name in units:
        count, whole = divmod(whole, size)
        if count or parts:
            parts.append(f"{count} {name}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def tick_seconds(end_seconds: float) -> int:
    """The distance of ticks on an axis of that length."""
    return next((step for step in _STEPS if end_seconds / step <= _TICKS_MAX), _STEPS[-1])
