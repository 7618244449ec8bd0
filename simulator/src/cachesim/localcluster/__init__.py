"""A whole cluster on this machine: the API server, S3, the services as processes, the nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachesim.localcluster.options import LocalClusterOptions

if TYPE_CHECKING:
    from cachesim.host.service_process import ServiceProcess
    from cachesim.localcluster.cluster import LocalCluster
    from cachesim.localcluster.s3 import LocalS3, S3Counters

__all__ = ["LocalCluster", "LocalClusterOptions", "LocalS3", "S3Counters", "ServiceProcess"]

_HOMES = {
    "LocalCluster": "cachesim.localcluster.cluster",
    "LocalS3": "cachesim.localcluster.s3",
    "S3Counters": "cachesim.localcluster.s3",
    "ServiceProcess": "cachesim.host.service_process",
}


def __getattr__(name: str) -> Any:
    """Imported when first asked for: a command line needs the options alone, and is to answer --help at once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
