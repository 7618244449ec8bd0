"""Fakes of the ports, stateful and able to fail on demand, and a runtime on virtual time. For tests only."""

from cachecore.testing.virtual_runtime import Deadlock, VirtualCancelled, VirtualRuntime

__all__ = ["Deadlock", "VirtualCancelled", "VirtualRuntime"]
