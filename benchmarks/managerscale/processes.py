"""The manager as a process of its own, and what the system counts of a process."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from cachesim.host.ports import ADDRESS, reserve_port
from cachesim.host.service_process import ServiceFailed, ServiceProcess

_READY_SECONDS = 60.0


def cpu_seconds(pid: int) -> float:
    """What the process has used until now, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_rss_bytes(pid: int) -> int:
    """The most memory that it has ever had resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@contextlib.asynccontextmanager
async def running_manager(
    kubeconfig: Path, directory: Path, died: Callable[[ServiceFailed], None]
) -> AsyncIterator[ServiceProcess]:
    """The service as it is deployed, by its own command. Raises `ServiceFailed` when it does not become ready."""
    with reserve_port() as reserved:
        port = str(reserved.getsockname()[1])
        manager = ServiceProcess(
            "manager",
            (
                *(sys.executable, "-m", "cachemanager", "--kubeconfig", str(kubeconfig)),
                *("--address", ADDRESS, "--port", port),
            ),
            log_path=directory / "manager.log",
            ready_url=f"http://{ADDRESS}:{port}/readyz",
            # The client of Kubernetes writes certificates into temporary files. PYTHONPATH: another checkout's manager.
            environment={
                **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
                "HOME": str(directory),
                "TMPDIR": str(directory),
            },
            died=died,
        )
        await manager.start()
        try:
            await manager.ready(_READY_SECONDS)
            yield manager
        finally:
            await manager.stop()
