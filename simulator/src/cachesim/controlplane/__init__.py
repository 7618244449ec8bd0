"""A real Kubernetes control plane on this machine: etcd, kube-apiserver, kube-controller-manager, kube-scheduler."""

from cachesim.controlplane.binaries import PARTS, VERSION, NoBinaries, build_binaries, find_binaries
from cachesim.controlplane.control_plane import KubeControlPlane
from cachesim.controlplane.options import KubeOptions

__all__ = [
    "PARTS",
    "VERSION",
    "KubeControlPlane",
    "KubeOptions",
    "NoBinaries",
    "build_binaries",
    "find_binaries",
]
