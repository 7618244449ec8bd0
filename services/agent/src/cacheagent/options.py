"""How an agent is set up."""

from __future__ import annotations

import msgspec

from cacheagent.assembly import TransferLimits
from cachecore.controller.queue import Backoff
from cachecore.names import SYSTEM_NAMESPACE


class AgentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`node_name` is the Node that the agent runs on; everything else has a default that suits a real node.

    - connections_max: how many parts of all downloads move at once at most
    - connections_initial: with how many it begins, before it has found its level
    - progress_seconds: how often the bytes of running downloads are written to status
    - rescan_seconds: how often the disk is compared with what the agent believes
    - remember_seconds: how long a use may be known in memory only
    - listing_seconds: how long a listing of a source may be fetched from
    """

    node_name: str
    system_namespace: str = SYSTEM_NAMESPACE
    default_concurrent_downloads: int = 2
    connections_initial: int = 8
    connections_max: int = 32
    transfer: TransferLimits = TransferLimits()
    retry: Backoff = Backoff(base_seconds=2.0, max_seconds=300.0)
    progress_seconds: float = 2.0
    rescan_seconds: float = 30.0
    remember_seconds: float = 5.0
    listing_seconds: float = 600.0
    resync_seconds: float = 600.0
