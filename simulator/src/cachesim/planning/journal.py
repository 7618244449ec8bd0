"""Notes rows while a replay runs, in plain lists, and makes columns of them at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cachesim.planning.copies import Kind
from cachesim.planning.played import EvictionRows, FetchRows, HoldingRows, Played, StartRows
from cachesim.planning.starts import Floats, Integers


class Journal:
    """Rows by number: a start keeps the number that it got when it was created."""

    def __init__(self) -> None:
        self.created: list[float] = []
        self.served: list[float] = []
        self.ready: list[float] = []
        self.kinds: list[int] = []
        self.nodes: list[int] = []
        self.hits: list[bool] = []
        self._fetches: list[tuple[float, float, int, int, float, bool]] = []
        self._evictions: list[tuple[float, int, int]] = []
        self._holdings: list[tuple[float, float, int, int]] = []
        self._held_since: dict[tuple[int, int], float] = {}

    def start(self, now: float, kind: Kind) -> int:
        self.created.append(now)
        self.served.append(math.nan)
        self.ready.append(math.nan)
        self.kinds.append(kind.number)
        self.nodes.append(-1)
        self.hits.append(False)
        return len(self.created) - 1

    def fetch(self, begin: float, end: float, node: int, kind: Kind, moved_bytes: float, *, demanded: bool) -> None:
        self._fetches.append((begin, end, node, kind.number, moved_bytes, demanded))

    def evict(self, now: float, node: int, kind: Kind) -> None:
        self._evictions.append((now, node, kind.number))

    def hold(self, now: float, node: int, kind: Kind) -> None:
        self._held_since[node, kind.number] = now

    def drop(self, now: float, node: int, kind: Kind) -> None:
        begin = self._held_since.pop((node, kind.number), now)
        self._holdings.append((begin, now, node, kind.number))

    def close(
        self, end: float, kinds: Sequence[Kind], *, nodes: int, limit_bytes: int, models: Sequence[str]
    ) -> Played:
        """The replay is over at `end`; what is held then was held until then."""
        holdings = [*self._holdings]
        holdings += [(begin, end, node, number) for (node, number), begin in self._held_since.items()]
        kind_models = np.asarray([kind.model for kind in kinds], dtype=np.int64)
        numbers = np.asarray(self.kinds, dtype=np.int64)
        fetches, evictions = _columns(self._fetches, 6), _columns(self._evictions, 3)
        spans = _columns(sorted(holdings), 4)
        return Played(
            duration_seconds=end,
            limit_bytes=limit_bytes,
            nodes=nodes,
            model_names=tuple(models),
            kind_models=kind_models,
            kind_bytes=np.asarray([kind.size_bytes for kind in kinds], dtype=np.int64),
            kind_load_seconds=np.asarray([kind.load_seconds for kind in kinds]),
            starts=StartRows(
                created_seconds=np.asarray(self.created),
                served_seconds=np.asarray(self.served),
                ready_seconds=np.asarray(self.ready),
                models=kind_models[numbers] if len(numbers) else numbers,
                kinds=numbers,
                nodes=np.asarray(self.nodes, dtype=np.int64),
                hits=np.asarray(self.hits, dtype=np.bool_),
            ),
            fetches=FetchRows(
                begin_seconds=fetches[0],
                end_seconds=fetches[1],
                nodes=_whole(fetches[2]),
                kinds=_whole(fetches[3]),
                moved_bytes=fetches[4],
                demanded=fetches[5].astype(np.bool_),
            ),
            evictions=EvictionRows(seconds=evictions[0], nodes=_whole(evictions[1]), kinds=_whole(evictions[2])),
            holdings=HoldingRows(
                begin_seconds=spans[0], end_seconds=spans[1], nodes=_whole(spans[2]), kinds=_whole(spans[3])
            ),
        )


def _columns(rows: Sequence[tuple[float, ...]], width: int) -> list[Floats]:
    table = np.asarray(rows, dtype=np.float64).reshape(len(rows), width)
    return [table[:, column].copy() for column in range(width)]


def _whole(column: Floats) -> Integers:
    return column.astype(np.int64)
