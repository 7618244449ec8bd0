"""What can be chosen about the manager."""

from __future__ import annotations

import msgspec

from cachecore.names import SYSTEM_NAMESPACE

# Taints that say what a node is for. A node group selects such nodes on purpose, so they don't keep models away.
ACCELERATOR_TAINT_KEYS = ("nvidia.com/gpu", "amd.com/gpu", "google.com/tpu", "habana.ai/gaudi")


class ManagerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults are those of the command line.

    `settle_seconds`: after a change of a cache, group or service, node specs wait until nothing else has changed for so
    long (but no longer than `longest_settle_seconds`; both are longer on large fleets), so that many changes are one
    write. `progress_interval_seconds`: the least time between two writes of a cache's status that tell only of progress
    (longer for many copies). `label_unused_up_to_nodes`: a copy that nothing uses is made known by a Node label only
    while no more nodes than these shall hold it.
    """

    leader_election: bool = True
    identity: str = "manager"
    system_namespace: str = SYSTEM_NAMESPACE
    tolerated_taint_keys: tuple[str, ...] = ACCELERATOR_TAINT_KEYS
    settle_seconds: float = 0.25
    longest_settle_seconds: float = 2.0
    progress_interval_seconds: float = 2.0
    group_interval_seconds: float = 5.0
    label_unused_up_to_nodes: int = 200
    absent_kind_seconds: float = 60.0
    resync_seconds: float = 600.0
    node_workers: int = 8
    cache_workers: int = 4
