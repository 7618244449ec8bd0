"""What a control plane may be told."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class KubeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`port` is the API server's, 0 any free one. `flags` are more flags for each part, by its name: they come last.

    `audit` writes each request of the API server to `audit.log` in the directory, one JSON event a line, without
    bodies. `advertised` is the address at which nodes with a network of their own find the API server; without it only
    this machine does. `node_addresses` are those nodes' own, for which the certificate is valid, too.
    `node_grace_seconds` is how long a node may be silent before it is NotReady; Kubernetes' own default is 50.
    """

    port: int = 0
    audit: bool = False
    advertised: str = ""
    node_addresses: tuple[str, ...] = ()
    node_grace_seconds: float = 50.0
    flags: Mapping[str, tuple[str, ...]] = {}
    ready_timeout_seconds: float = 60.0
