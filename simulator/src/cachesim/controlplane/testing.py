"""A control plane for the tests of a session, on an event loop of its own."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from cachesim.controlplane.control_plane import KubeControlPlane
from cachesim.controlplane.options import KubeOptions
from cachesim.host.loop_thread import LoopThread

T = TypeVar("T")


class LivePlane:
    """Started and stopped by whoever is no coroutine. `plane` may be asked for its addresses from any loop."""

    def __init__(
        self, directory: Path, options: KubeOptions = KubeOptions(), *, users: dict[str, str] | None = None
    ) -> None:
        self.plane = KubeControlPlane(directory, options, users=users)
        self._loop = LoopThread("control-plane")

    def start(self) -> None:
        """Raises what `KubeControlPlane` raises; nothing runs then."""
        try:
            self._loop.run(self.plane.__aenter__())
        except BaseException:
            self._loop.stop()
            raise

    def stop(self) -> None:
        try:
            self._loop.run(self.plane.__aexit__(None, None, None))
        finally:
            self._loop.stop()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it where the control plane is watched; answer what it answers."""
        return self._loop.run(coroutine)

    async def compact(self, revision: int) -> None:
        """Make etcd forget what was before `revision`. What the API server has in its watch cache it still knows."""
        body = {"revision": str(revision), "physical": True}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.plane.etcd_url}/v3/kv/compaction", json=body, raise_for_status=True),
        ):
            return
