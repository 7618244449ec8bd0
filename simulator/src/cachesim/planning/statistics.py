"""Confidence intervals of what replications, or slices of one, have measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from cachesim.planning.outcome import Interval

CONFIDENCE = 0.95
# With fewer replications the slices of time of all of them are the samples (batch means: Law, 9.5.3).
REPLICATIONS_MIN = 3


def half_width(samples: Sequence[float]) -> float | None:
    """Of the 95 % interval of the mean, by Student's t; None for fewer than two samples."""
    if len(samples) < 2:
        return None
    deviation = float(np.std(samples, ddof=1))
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, len(samples) - 1)) * deviation / math.sqrt(len(samples))


def interval(value: float, samples: Sequence[float]) -> Interval:
    """The value with the interval that the samples give it; the value itself may be of all samples together."""
    half = half_width(samples)
    if half is None:
        return Interval(value=value)
    return Interval(value=value, low=value - half, high=value + half)


def samples_of(replications: Sequence[float], slices: Sequence[Sequence[float]]) -> list[float]:
    """The samples of one metric: by replication if there are enough, else by slice, the first of each left out.

    The first slice of a replication begins with empty disks, and is no sample of what comes later.
    """
    if len(replications) >= REPLICATIONS_MIN:
        return list(replications)
    return [value for row in slices for value in row[1:] if not math.isnan(value)]


def paired(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """How much the second one's samples differ from the first one's, relative to the first one's mean.

    Both saw the same starts in each sample, so their differences vary less than they do. None without samples.
    """
    base = float(np.mean(first)) if len(first) else 0.0
    if len(first) < 2 or not base:
        return None
    differences = [(other - one) / base for one, other in zip(first, second, strict=True)]
    return interval(float(np.mean(differences)), differences)
