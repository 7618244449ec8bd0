"""Containers of a node: the port that the kubelet stand-in starts them through, and its adapters."""

from cachesim.containers.port import (
    ContainerError,
    ContainerRuntime,
    ContainerStart,
    ImageUnknown,
    Mount,
    RunningContainer,
    StartRefused,
)

__all__ = [
    "ContainerError",
    "ContainerRuntime",
    "ContainerStart",
    "ImageUnknown",
    "Mount",
    "RunningContainer",
    "StartRefused",
]
