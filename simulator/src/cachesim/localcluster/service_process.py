"""One service of the cluster as a process: started, watched through /readyz, started again when it dies."""

from __future__ import annotations

from pathlib import Path


class ServiceProcess:
    """A supervised process, as a Deployment's or a DaemonSet's pod is: what dies is started again after a moment."""

    name: str
    log_path: Path
    url: str

    @property
    def pid(self) -> int:
        """The process id of the present incarnation."""
        raise NotImplementedError

    @property
    def starts(self) -> int:
        """How often it was started: 1 before the first death."""
        raise NotImplementedError

    async def ready(self, timeout_seconds: float = 30.0) -> None:
        """Wait until /readyz says yes. Raises `LocalModelError` with the end of the log when it does not in time."""
        raise NotImplementedError

    async def kill(self) -> int:
        """kill -9; answers the pid that was killed. The supervisor starts it again by itself."""
        raise NotImplementedError

    def log(self, lines: int = 50) -> str:
        """The end of its log."""
        raise NotImplementedError
