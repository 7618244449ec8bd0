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
    - start_jitter_seconds: within which time a model that no pod waits for begins, so that a fleet doesn't ask at once
    - warm_page_cache: whether a model that has been published is read into memory that nobody uses
    - progress_seconds: how often the bytes of running downloads are written to status
    - rescan_seconds: how often the disk is compared with what the agent believes
    - remember_seconds: how long a use may be known in memory only
    - listing_seconds: how long a listing of a source may be fetched from
    - store_wait_seconds: how long an agent that starts waits for the store that its node had, if it isn't there
    """

    node_name: str
    system_namespace: str = SYSTEM_NAMESPACE
    default_concurrent_downloads: int = 2
    connections_initial: int = 8
    connections_max: int = 32
    transfer: TransferLimits = TransferLimits()
    start_jitter_seconds: float = 2.0
    warm_page_cache: bool = False
    retry: Backoff = Backoff(base_seconds=2.0, max_seconds=300.0)
    progress_seconds: float = 2.0
    rescan_seconds: float = 30.0
    remember_seconds: float = 5.0
    listing_seconds: float = 600.0
    store_wait_seconds: float = 60.0
    resync_seconds: float = 600.0
