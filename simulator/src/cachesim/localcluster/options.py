"""What a local cluster may be told."""

from __future__ import annotations

from typing import Literal

import msgspec


class LocalClusterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`state` "" is a temporary directory that goes with the cluster; a port of 0 is any free one.

    `disk_bytes` None leaves each node the disk of this machine; a number gives each a disk of its own of that size
    where this user may mount one, and else only a capacity that the Node declares. `services` False leaves out the
    manager, the webhook and the agents: the bare cluster. `control_plane` "embedded" is our own API server in this
    process, "kube" Kubernetes' own as processes. `s3_bytes_per_second` is for all readers together, as behind a
    network; 0 is as fast as this machine goes.
    """

    nodes: int = 2
    control_plane: Literal["embedded", "kube"] = "embedded"
    disk_bytes: int | None = None
    state: str = ""
    kubeconfig: str = ""
    port: int = 0
    s3_port: int = 0
    s3_bytes_per_second: int = 0
    group_path: str = "/var/lib/localmodel"
    log_level: str = "info"
    ready_timeout_seconds: float = 60.0
    services: bool = True
