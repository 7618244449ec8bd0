"""Durations and rates as people write them in scenario files."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from cachecore.errors import InvalidInput

Positive = Annotated[int, msgspec.Meta(ge=1)]
Duration = Annotated[
    str, msgspec.Meta(pattern=r"^\d+(\.\d+)?(ms|s|m|h|d)$", description="a number with one of ms, s, m, h, d: 90s")
]
Rate = Annotated[
    str,
    msgspec.Meta(pattern=r"^\d+(\.\d+)?[kMGT]?bps$", description="a number with one of bps, kbps, Mbps, Gbps: 10Gbps"),
]
Size = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\d+(\.\d+)?([kMGTP]|[KMGTP]i)?$", description="a number with one of k, M, G, T, Ki, Mi, Gi, Ti: 40Gi"
    ),
]
Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", description="lower-case letters, digits and dashes: llama-8b"
    ),
]

_DURATION_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE_BITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def duration_seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if match is None:
        raise InvalidInput(f"{text!r} is not a duration: write a number with one of ms s m h d")
    return float(match.group(1)) * _DURATION_SECONDS[match.group(2)]


def rate_bytes_per_second(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kMGT]?)bps", text)
    if match is None:
        raise InvalidInput(f"{text!r} is not a rate: write a number with one of bps kbps Mbps Gbps Tbps")
    return float(match.group(1)) * _RATE_BITS[match.group(2)] / 8
