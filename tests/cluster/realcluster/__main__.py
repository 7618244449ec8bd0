"""`make cluster`: real nodes until Ctrl-C, and how to speak to them.

python -m realcluster [--nodes N] [--images DIRECTORY]
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from cachecore.errors import LocalModelError
from realcluster.cluster import ClusterOptions, RealCluster
from realcluster.requirements import missing


def main() -> int:
    """Exit code 1 when the machine lacks something, or the cluster does not come up."""
    parser = argparse.ArgumentParser(prog="make cluster", description="Real Kubernetes nodes on this machine.")
    parser.add_argument("--nodes", type=int, default=2, help="how many (2)")
    parser.add_argument("--images", type=Path, metavar="DIRECTORY", help="OCI archives that each node gets")
    arguments = parser.parse_args()
    if lacks := missing():
        sys.stderr.write(f"localmodel: a cluster needs {'; '.join(lacks)}\n")
        return 1
    images = tuple(sorted(arguments.images.glob("*.tar"))) if arguments.images else ()
    # The first signal ends the wait; what is then taken down is not interrupted by a second one.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        with RealCluster(ClusterOptions(nodes=arguments.nodes, images=images)) as cluster:
            pid = next(iter(cluster.nodes.values())).pid
            say(f"Ready: {', '.join(cluster.nodes)}, in a network of their own. So from another terminal:")
            network = f"nsenter --net=/proc/{cluster.network_pid}/ns/net"
            say(f"  {network} kubectl --kubeconfig {cluster.kubeconfig} get nodes")
            say(f"  nsenter --all --target {pid}    # on the first node")
            say("Ctrl-C takes it down.")
            signal.sigwait((signal.SIGINT, signal.SIGTERM))
    except LocalModelError as error:
        sys.stderr.write(f"localmodel: {error}\n")
        return 1
    return 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
