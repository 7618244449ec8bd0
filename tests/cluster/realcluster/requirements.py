"""What this machine must have for real nodes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from cachesim.controlplane.binaries import NODE_PARTS, PARTS, NoBinaries, find_binaries

CNI_DIRECTORY = Path("/usr/lib/cni")
CGROUPS = Path("/sys/fs/cgroup")
# The program, and Debian's package that has it.
_PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "unshare": "util-linux",
}
_PLUGINS = ("bridge", "host-local", "loopback")


def missing(environment: Mapping[str, str] = os.environ) -> list[str]:
    """What is missing, each with how to get it; empty: a cluster can be started."""
    lacks = [] if os.geteuid() == 0 else ["root's rights"]
    packages = {package for program, package in _PROGRAMS.items() if shutil.which(program) is None}
    if any(not (CNI_DIRECTORY / plugin).exists() for plugin in _PLUGINS):
        packages.add("containernetworking-plugins")
    if packages:
        lacks.append(f"Debian's packages {' '.join(sorted(packages))}")
    if shutil.which("kubectl") is None:
        lacks.append("kubectl")
    if not (CGROUPS / "cpuset" / "cpuset.cpus").exists():
        lacks.append("cgroups of version 1, which is all that this was tried on")
    try:
        find_binaries(environment, parts=PARTS + NODE_PARTS)
    except NoBinaries as error:
        lacks.append(str(error))
    return lacks
