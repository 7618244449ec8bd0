"""What a plan replays: starts of pods, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Booleans: TypeAlias = npt.NDArray[np.bool_]

# Of a start that any node may take.
ANYWHERE = -1


class Replacement(msgspec.Struct, frozen=True, kw_only=True):
    """At that time a model, by its index, is replaced by a new version of the same size."""

    seconds: float
    model: int


class Starts(msgspec.Struct, frozen=True, kw_only=True):
    """One row for each pod that starts, by time since the beginning.

    - seconds: when it is created, in ascending order
    - models: the index of its model, in the scenario's order
    - nodes: the index of the node that it must run on, or ANYWHERE
    - lifetime_seconds: how long it runs once it is Ready
    - replacements: new versions of models, by time
    """

    seconds: Floats
    models: Integers
    nodes: Integers
    lifetime_seconds: Floats
    duration_seconds: float
    replacements: tuple[Replacement, ...] = ()

    def __len__(self) -> int:
        return len(self.seconds)


def make_starts(
    seconds: npt.ArrayLike,
    models: npt.ArrayLike,
    lifetime_seconds: npt.ArrayLike,
    *,
    duration_seconds: float,
    nodes: npt.ArrayLike | None = None,
    replacements: Sequence[Replacement] = (),
) -> Starts:
    """Starts from columns in any order; `lifetime_seconds` may be one for all."""
    times = np.asarray(seconds, dtype=np.float64)
    order = np.argsort(times, kind="stable")
    where = np.full(len(times), ANYWHERE, dtype=np.int64) if nodes is None else np.asarray(nodes, dtype=np.int64)
    lifetimes = np.broadcast_to(np.asarray(lifetime_seconds, dtype=np.float64), times.shape)
    return Starts(
        seconds=times[order],
        models=np.asarray(models, dtype=np.int64)[order],
        nodes=where[order],
        lifetime_seconds=lifetimes[order].copy(),
        duration_seconds=duration_seconds,
        replacements=tuple(sorted(replacements, key=lambda one: (one.seconds, one.model))),
    )
