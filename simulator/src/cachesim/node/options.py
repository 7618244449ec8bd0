"""How a node behaves: the kubelet's own numbers, unless a test or a scenario says otherwise."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from cachecore.resources.core import Taint


class NodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`address` is what pods of the node have as their address too: they share the network of the machine.

    `kubelet_port` is where a real API server finds what else a kubelet serves (logs); 0 says that nothing does.
    """

    labels: Mapping[str, str] = {}
    capacity: Mapping[str, str] = {}
    taints: tuple[Taint, ...] = ()
    address: str = "127.0.0.1"
    kubelet_port: int = 0
    heartbeat_seconds: float = 10.0
    lease_duration_seconds: int = 40
    resync_seconds: float = 600.0
    first_mount_backoff_seconds: float = 0.5
    longest_mount_backoff_seconds: float = 122.0
    config_error_retry_seconds: float = 10.0
    first_crash_backoff_seconds: float = 10.0
    longest_crash_backoff_seconds: float = 300.0
    orphan_grace_seconds: float = 1.0
    pods_directory: str = "/var/lib/kubelet/pods"
    logs_directory: str = "/var/log/pods"

    def pod_directory(self, uid: str) -> str:
        """Where the node keeps what belongs to a pod alone."""
        return f"{self.pods_directory}/{uid}"

    def log_path(self, namespace: str, pod: str, uid: str, container: str, restarts: int) -> str:
        """Where a container's output goes, as the kubelet names it."""
        return f"{self.logs_directory}/{namespace}_{pod}_{uid}/{container}/{restarts}.log"
