"""How far this machine lets a process be given mounts of its own."""

from __future__ import annotations

import enum
import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launcher.py")
_PROBE_SECONDS = 10.0


class Isolation(enum.StrEnum):
    """How containers see their volumes."""

    MOUNT_NAMESPACE = "mount-namespace"
    USER_NAMESPACE = "user-namespace"
    LINKS = "links"


def launcher_command(
    isolation: Isolation,
    *,
    root: str,
    mounts: tuple[tuple[str, str, bool], ...],
    argv: tuple[str, ...],
    working_dir: str = "",
) -> tuple[str, ...]:
    """The command that becomes `argv` with those mounts, as a child of this process, with the environment it is given.

    Variables are no part of it: they hold secrets, and a command line is for all to see.
    """
    specification = {
        "root": "" if isolation is Isolation.LINKS else root,
        "user_namespace": isolation is Isolation.USER_NAMESPACE,
        "mounts": mounts,
        "argv": argv,
        "working_dir": working_dir,
        "parent": os.getpid(),
    }
    return (sys.executable, "-I", "-S", str(LAUNCHER), repr(specification))


def _works(isolation: Isolation) -> bool:
    """Whether a container with a read-only mount starts that way."""
    with tempfile.TemporaryDirectory(prefix="localmodel-probe-") as directory:
        root, source = Path(directory, "root"), Path(directory, "source")
        root.mkdir()
        source.mkdir()
        command = launcher_command(
            isolation, root=str(root), mounts=((str(source), "/localmodel-probe", True),), argv=("true",)
        )
        try:
            ended = subprocess.run(command, capture_output=True, check=False, timeout=_PROBE_SECONDS, env=os_path())
        except (OSError, subprocess.TimeoutExpired):
            return False
        return ended.returncode == 0


@functools.cache
def detect_isolation() -> Isolation:
    """The best way that works here, tried once per process."""
    ways = [Isolation.MOUNT_NAMESPACE] if os.geteuid() == 0 else []
    return next((way for way in (*ways, Isolation.USER_NAMESPACE) if _works(way)), Isolation.LINKS)


def os_path() -> dict[str, str]:
    """The least that a program needs of this machine's environment; nothing else of it may leak into a container."""
    beside_python = str(Path(sys.executable).parent)
    kept = {name: os.environ[name] for name in ("LANG", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {"PATH": f"{beside_python}:{os.environ.get('PATH', os.defpath)}", "HOME": "/", **kept}
