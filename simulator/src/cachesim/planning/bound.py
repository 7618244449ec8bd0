"""The fewest bytes, and the fewest misses, that any policy could have had: it knows the future.

For two uses of one model on a node, one after the other, a policy either keeps the copy between them or fetches it
again. Let x say how much of it is kept. At each use the model itself is on the disk, and whatever else is kept across
that moment is there with it, within the limit: the most that can be kept under these constraints is a linear program,
and no schedule that serves the same pods at the same moments keeps more (FOO: Berger, Beckmann, Harchol-Balter,
Practical Bounds on Optimal Caching with Variable Object Sizes, 2018). Beyond a million uses its relaxation PFOO-L: the
constraints are taken together, as one budget of bytes times uses, which is spent on what is worth most for it.
"""

from __future__ import annotations

import msgspec
import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from cachesim.planning.played import Played
from cachesim.planning.starts import Floats, Integers

REQUESTS_MAX = 1_000_000

LINEAR_PROGRAM = "linear program"
PFOO_L = "PFOO-L"


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """Lower bounds; `method` says how they were found."""

    bytes_fetched: float
    misses: float
    method: str


class _Intervals(msgspec.Struct, frozen=True, kw_only=True):
    """From a use to the next one of the same kind, by their places in the order of uses, and the size of the kind."""

    begin: Integers
    end: Integers
    size_bytes: Floats


def bound(played: Played, *, requests_max: int = REQUESTS_MAX) -> Bound:
    """The bound of a replay: for the same pods on the same nodes, with their copies there at the same moments.

    Of two pods that wait for one download only the first had to fetch. What was fetched for nobody is the policy's own.
    """
    starts = played.starts
    served = np.flatnonzero((starts.nodes >= 0) & ~np.isnan(starts.served_seconds))
    order = served[np.lexsort((served, starts.served_seconds[served], starts.nodes[served]))]
    nodes, kinds = starts.nodes[order], starts.kinds[order]
    exact = len(order) <= requests_max
    kept = kept_most if exact else kept_most_relaxed
    total_bytes = misses = 0.0
    for uses in np.split(kinds, np.flatnonzero(np.diff(nodes)) + 1) if len(kinds) else ():
        sizes = played.kind_bytes[uses].astype(np.float64)
        intervals = _intervals(uses, sizes)
        total_bytes += float(sizes.sum()) - kept(intervals, sizes, float(played.limit_bytes), intervals.size_bytes)
        misses += len(uses) - kept(intervals, sizes, float(played.limit_bytes), np.ones(len(intervals.begin)))
    return Bound(bytes_fetched=total_bytes, misses=misses, method=LINEAR_PROGRAM if exact else PFOO_L)


def kept_most(intervals: _Intervals, sizes: Floats, limit_bytes: float, values: Floats) -> float:
    """The most value that can be kept on one node, by the linear program.

    `sizes` are those of the uses in their order, `values` those of the intervals. Intervals without a use in between
    are kept for nothing. Each of the others takes room at the uses that it spans, which follow one another: the
    difference of neighbouring constraints has two entries for an interval, and the program is a flow.
    """
    spanning = intervals.end - intervals.begin > 1
    free = float(values[~spanning].sum())
    begin, end, gain = intervals.begin[spanning], intervals.end[spanning], values[spanning]
    if not len(begin):
        return free
    # As shares of the limit: a solver's tolerances are made for numbers around one.
    share = intervals.size_bytes[spanning] / limit_bytes
    room = np.maximum(1.0 - sizes / limit_bytes, 0.0)
    covered = np.zeros(len(sizes) + 1)
    np.add.at(covered, begin + 1, share)
    np.add.at(covered, end, -share)
    if bool((np.cumsum(covered)[:-1] <= room).all()):
        return free + float(gain.sum())
    count, uses = len(begin), len(sizes)
    columns, slack = np.arange(count), count + np.arange(uses)
    rows = np.arange(uses)
    # Row i is the constraint of use i less the one before: intervals enter after they begin, and leave where they end.
    matrix = sparse.csr_matrix(
        (
            np.concatenate([share, -share, np.ones(uses), -np.ones(uses - 1)]),
            (
                np.concatenate([begin + 1, end, rows, rows[1:]]),
                np.concatenate([columns, columns, slack, slack[:-1]]),
            ),
        ),
        shape=(uses, count + uses),
    )
    scale = float(gain.max())
    solution = linprog(
        np.concatenate([-gain / scale, np.zeros(uses)]),
        A_eq=matrix,
        b_eq=np.diff(room, prepend=0.0),
        bounds=[(0.0, 1.0)] * count + [(0.0, None)] * uses,
        method="highs",
    )
    if not solution.success:
        raise RuntimeError(f"HiGHS has found no bound: {solution.message}")
    return free - float(solution.fun) * scale


def kept_most_relaxed(intervals: _Intervals, sizes: Floats, limit_bytes: float, values: Floats) -> float:
    """At least as much as can be kept on one node: PFOO-L."""
    spans = (intervals.end - intervals.begin).astype(np.float64)
    needs = intervals.size_bytes * spans
    order = np.argsort(needs / values, kind="stable")
    spent = np.cumsum(needs[order])
    budget = limit_bytes * len(sizes)
    whole = int(np.searchsorted(spent, budget, side="right"))
    kept = float(values[order[:whole]].sum())
    if whole < len(order):
        before = float(spent[whole - 1]) if whole else 0.0
        kept += float(values[order[whole]]) * (budget - before) / float(needs[order[whole]])
    return kept


def _intervals(uses: Integers, sizes: Floats) -> _Intervals:
    """Each use but the last of its kind begins one."""
    order = np.lexsort((np.arange(len(uses)), uses))
    same = uses[order[1:]] == uses[order[:-1]]
    begin = order[:-1][same]
    return _Intervals(begin=begin, end=order[1:][same], size_bytes=sizes[begin])
