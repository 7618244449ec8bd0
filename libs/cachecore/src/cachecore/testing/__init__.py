"""Fakes of the ports, stateful and able to fail on demand, and a runtime on virtual time. For tests only."""

from cachecore.testing.fake_cluster import FakeCluster
from cachecore.testing.fake_disk import FakeDisk
from cachecore.testing.fake_store import FakeObjectStore, FakeObjectStores, FakePartMover
from cachecore.testing.faults import Fault, FaultPlan
from cachecore.testing.virtual_runtime import Deadlock, VirtualCancelled, VirtualRuntime

__all__ = [
    "Deadlock",
    "FakeCluster",
    "FakeDisk",
    "FakeObjectStore",
    "FakeObjectStores",
    "FakePartMover",
    "Fault",
    "FaultPlan",
    "VirtualCancelled",
    "VirtualRuntime",
]
