"""The ports: all that a production coroutine may await.

asyncio, the wall clock, threads, sockets and the file system live behind these, in adapters; so the simulator runs
the same coroutines on virtual time.
"""

from cachecore.ports.cluster import ClusterClient, Patch, PatchType, ResourceList, Watch, WatchEvent, WatchEventType
from cachecore.ports.disk import Allocation, DirectoryEntry, Disk, DiskUsage
from cachecore.ports.runtime import Runtime, Signal, Task
from cachecore.ports.storage import (
    Checksum,
    ChecksumAlgorithm,
    Credentials,
    MovedPart,
    ObjectInfo,
    ObjectStore,
    ObjectStores,
    Part,
    PartMover,
)

__all__ = [
    "Allocation",
    "Checksum",
    "ChecksumAlgorithm",
    "ClusterClient",
    "Credentials",
    "DirectoryEntry",
    "Disk",
    "DiskUsage",
    "MovedPart",
    "ObjectInfo",
    "ObjectStore",
    "ObjectStores",
    "Part",
    "PartMover",
    "Patch",
    "PatchType",
    "ResourceList",
    "Runtime",
    "Signal",
    "Task",
    "Watch",
    "WatchEvent",
    "WatchEventType",
]
