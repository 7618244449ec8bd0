"""How the services are called: the same entry points and flags as when they are deployed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from cachesim.containers.images import AGENT_IMAGE
from cachesim.host.certificates import ServerCertificate
from cachesim.host.ports import ADDRESS
from cachesim.localcluster.s3 import LocalS3

# Of this environment nothing may reach the services that would lead them elsewhere.
_DROPPED_PREFIXES = ("AWS_", "LOCALMODEL_", "KUBE", "OTEL_")
_DROPPED = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})


class ServicePorts(msgspec.Struct, frozen=True):
    """Where one service answers: its health and metrics, and the webhook its reviews."""

    status: int
    webhook: int = 0


def environment(scratch: Path, s3: LocalS3 | None = None) -> dict[str, str]:
    """This environment, cleaned; with the credentials of the local S3 for those who download.

    Temporary files (Kubernetes' client writes certificates into some) go where they are removed even after a SIGKILL.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_DROPPED_PREFIXES) and name.upper() not in _DROPPED
    }
    return {**kept, "TMPDIR": str(scratch), **(s3.environment if s3 is not None else {})}


def manager(kubeconfig: Path, ports: ServicePorts, log_level: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "cachemanager", *_common(kubeconfig, ports, log_level))


def webhook(kubeconfig: Path, ports: ServicePorts, log_level: str, certificate: ServerCertificate) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "cachewebhook", *_common(kubeconfig, ports, log_level)),
        *("--webhook-port", str(ports.webhook)),
        *("--certificate", str(certificate.certificate), "--private-key", str(certificate.private_key)),
        *("--agent-image", AGENT_IMAGE),
    )


def agent(kubeconfig: Path, ports: ServicePorts, log_level: str, node: str, root: Path) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "cacheagent", "run", *_common(kubeconfig, ports, log_level)),
        *("--node-name", node, "--root", str(root)),
    )


def s3_server(descriptor: int, bytes_per_second: int) -> tuple[str, ...]:
    program = (sys.executable, "-m", "cachesim.localcluster.s3_server")
    return (*program, "--descriptor", str(descriptor), "--bytes-per-second", str(bytes_per_second))


def _common(kubeconfig: Path, ports: ServicePorts, log_level: str) -> tuple[str, ...]:
    return (
        *("--kubeconfig", str(kubeconfig)),
        *("--address", ADDRESS, "--port", str(ports.status)),
        *("--log-level", log_level, "--log-format", "json"),
    )
