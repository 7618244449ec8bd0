"""Where a cache with `copies` goes, and among which nodes that was chosen, as one log line."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from cachecore.decisions import SCHEMA, Decision, is_told, tell
from cachemanager.placement import Candidate, Placement

logger = logging.getLogger(__name__)


class CachePlaced(Decision, frozen=True, kw_only=True, tag_field="kind", tag="placement"):
    """`host` is the cache, which is also the seed of its ties; `nodes` are the chosen ones, each with its group."""

    copies: int
    size_bytes: int
    candidates: tuple[Candidate, ...]
    nodes: dict[str, str]


def tell_placement(
    cache: str, copies: int, size_bytes: int, candidates: Sequence[Candidate], placement: Placement
) -> None:
    """Log the choice, if anybody listens."""
    if is_told(logger):
        tell(
            logger,
            CachePlaced(
                schema=SCHEMA,
                host=cache,
                copies=copies,
                size_bytes=size_bytes,
                candidates=tuple(candidates),
                nodes=placement.nodes,
            ),
        )
