"""What a replay leaves behind: a row for each start, each fetch, each eviction, each time a copy was there."""

from __future__ import annotations

import msgspec
import numpy as np

from cachesim.planning.starts import Booleans, Floats, Integers


class StartRows(msgspec.Struct, frozen=True, kw_only=True):
    """Each start, in the order of their creation; those that a lost node's pods made anew are among them.

    `nodes` is -1 for a start that never got a node. `served_seconds` is when its copy was there, `ready_seconds` when
    the model was loaded: both not a number for one that did not get so far. `kinds` counts versions of models apart.
    """

    created_seconds: Floats
    served_seconds: Floats
    ready_seconds: Floats
    models: Integers
    kinds: Integers
    nodes: Integers
    hits: Booleans

    def __len__(self) -> int:
        return len(self.created_seconds)


class FetchRows(msgspec.Struct, frozen=True, kw_only=True):
    """Each transfer, whole or given up, perhaps before a byte came. `demanded`: a pod waited when it began."""

    begin_seconds: Floats
    end_seconds: Floats
    nodes: Integers
    kinds: Integers
    moved_bytes: Floats
    demanded: Booleans


class EvictionRows(msgspec.Struct, frozen=True, kw_only=True):
    """Each eviction for want of space; copies that were no longer assigned are not among them."""

    seconds: Floats
    nodes: Integers
    kinds: Integers


class HoldingRows(msgspec.Struct, frozen=True, kw_only=True):
    """From when to when each copy was on a node."""

    begin_seconds: Floats
    end_seconds: Floats
    nodes: Integers
    kinds: Integers


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """One replay. `kind_models` and `kind_bytes` tell what each kind is: the index of its model, and its size."""

    duration_seconds: float
    limit_bytes: int
    nodes: int
    model_names: tuple[str, ...]
    kind_models: Integers
    kind_bytes: Integers
    kind_load_seconds: Floats
    starts: StartRows
    fetches: FetchRows
    evictions: EvictionRows
    holdings: HoldingRows
    fault_words: tuple[str, ...] = ()

    @property
    def wait_seconds(self) -> Floats:
        """From creation to Ready; what was not Ready at the end has waited until then."""
        ready = np.where(np.isnan(self.starts.ready_seconds), self.duration_seconds, self.starts.ready_seconds)
        return np.maximum(ready - self.starts.created_seconds, 0.0)

    @property
    def bytes_fetched(self) -> float:
        return float(self.fetches.moved_bytes.sum())
