"""A stand-in for the kubelet, and for what watches over nodes."""

from cachesim.node.lifecycle import LifecycleOptions, NodeLifecycle
from cachesim.node.node import Node
from cachesim.node.options import NodeOptions

__all__ = ["LifecycleOptions", "Node", "NodeLifecycle", "NodeOptions"]
