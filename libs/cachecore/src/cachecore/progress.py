"""Progress as the columns of `kubectl get` show it: short, and of a width that does not jump."""

from __future__ import annotations

from cachecore.quantity import format_bytes

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def copies_text(available: int, total: int) -> str:
    """`38/40`."""
    return f"{available}/{total}"


def bytes_text(done_bytes: int, total_bytes: int) -> str:
    """Both in the unit of the total: `3.2/10.0 GiB`."""
    power = 0
    while power < len(_UNITS) - 1 and total_bytes >= 1024 ** (power + 1):
        power += 1
    if power == 0:
        return f"{done_bytes}/{total_bytes} B"
    return f"{done_bytes / 1024**power:.1f}/{total_bytes / 1024**power:.1f} {_UNITS[power]}"


def transfer_text(done_bytes: int, total_bytes: int, bytes_per_second: int = 0) -> str:
    """`38.0/40.0 GiB at 1.2 GiB/s`; without the rate while nothing moves."""
    text = bytes_text(done_bytes, total_bytes)
    return f"{text} at {format_bytes(bytes_per_second)}/s" if bytes_per_second > 0 else text
