"""A manager as a process of its own, for tests: stopped, continued, killed, and never started again by itself."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from cachesim.host.kubeconfig import write_kubeconfig
from cachesim.host.ports import ADDRESS, reserve_port
from cachesim.host.service_process import ServiceProcess

_READY_SECONDS = 40.0
_END_SECONDS = 15.0


class ManagerProcess:
    """`user` is its name in the lease; by `token` the API server's audit log knows it."""

    def __init__(self, directory: Path, user: str, *, url: str, authority: bytes, token: str) -> None:
        self.user = user
        self._port = reserve_port()
        port = self._port.getsockname()[1]
        kubeconfig = directory / f"{user}.kubeconfig"
        write_kubeconfig(kubeconfig, url=url, authority=authority, user=user, token=token)
        self.process = ServiceProcess(
            user,
            (
                *(sys.executable, "-m", "cachemanager", "--kubeconfig", str(kubeconfig), "--identity", user),
                *("--address", ADDRESS, "--port", str(port)),
            ),
            log_path=directory / f"{user}.log",
            ready_url=f"http://{ADDRESS}:{port}/readyz",
            environment=dict(os.environ),
            died=lambda _failure: None,
        )

    async def start(self) -> None:
        """It knows all and campaigns, or leads, when this returns."""
        await self.process.start()
        await self.process.ready(_READY_SECONDS)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    async def end(self) -> None:
        """SIGTERM, and wait; also for one that has ended already, or is stopped."""
        if self.process.running:
            self.send(signal.SIGCONT)
        await self.process.stop(_END_SECONDS)
        self._port.close()
