"""Kubernetes quantities in bytes."""

from __future__ import annotations

import decimal
import functools
import re

from cachecore.errors import InvalidInput

QUANTITY_SUFFIXES = {
    "": decimal.Decimal(1),
    "n": decimal.Decimal("1e-9"),
    "u": decimal.Decimal("1e-6"),
    "m": decimal.Decimal("0.001"),
    "k": decimal.Decimal(10**3),
    "M": decimal.Decimal(10**6),
    "G": decimal.Decimal(10**9),
    "T": decimal.Decimal(10**12),
    "P": decimal.Decimal(10**15),
    "E": decimal.Decimal(10**18),
    "Ki": decimal.Decimal(2**10),
    "Mi": decimal.Decimal(2**20),
    "Gi": decimal.Decimal(2**30),
    "Ti": decimal.Decimal(2**40),
    "Pi": decimal.Decimal(2**50),
    "Ei": decimal.Decimal(2**60),
}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(m|[kMGTPE]|[KMGTPE]i|)")


def quantity_bytes(quantity: str | int | None) -> int:
    """A resource.Quantity (`10Gi`, `1.5G`, `1e9`, 1024) as whole bytes, rounded up as Kubernetes does; None is 0.

    Raises `InvalidInput`.
    """
    if quantity is None:
        return 0
    # Whatever JSON may hold in its place is no quantity either.
    return quantity if isinstance(quantity, int) else _parsed_bytes(str(quantity))


@functools.lru_cache(maxsize=4096)
def _parsed_bytes(quantity: str) -> int:
    match = _QUANTITY.fullmatch(quantity.strip())
    if match is None:
        raise InvalidInput(f"{quantity!r} is not a quantity: write a number with a suffix of k M G T Ki Mi Gi Ti")
    number = decimal.Decimal(match.group(1)) * QUANTITY_SUFFIXES[match.group(2)]
    return int(number.to_integral_value(rounding=decimal.ROUND_CEILING))


def format_bytes(count: int) -> str:
    """A count of bytes as a person reads it: `256.0 MiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")
