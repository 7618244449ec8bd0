"""A stand-in for kube-scheduler: gives pending pods to nodes."""

from cachesim.scheduler.scheduler import Scheduler
from cachesim.scheduler.selection import Choice, NodeLoad, choose_node

__all__ = ["Choice", "NodeLoad", "Scheduler", "choose_node"]
