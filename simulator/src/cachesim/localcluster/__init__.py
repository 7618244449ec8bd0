"""A whole cluster on this machine: the API server, S3, the services as processes, the nodes."""

from cachesim.localcluster.cluster import LocalCluster
from cachesim.localcluster.options import LocalClusterOptions
from cachesim.localcluster.s3 import LocalS3, S3Counters
from cachesim.localcluster.service_process import ServiceProcess

__all__ = ["LocalCluster", "LocalClusterOptions", "LocalS3", "S3Counters", "ServiceProcess"]
