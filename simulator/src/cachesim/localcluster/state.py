"""The state directory of a cluster: where things are in it, and that nothing of it stays behind that should not."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from cachecore.errors import InvalidInput

_JANITOR = Path(__file__).with_name("janitor.py")


class StateDirectory:
    """A directory of its own for one running cluster. A temporary one goes with the cluster, a named one stays.

    Raises InvalidInput when it can't be made, or when another cluster runs in it.
    """

    def __init__(self, path: str) -> None:
        self.temporary = not path
        try:
            root = (
                Path(tempfile.mkdtemp(prefix="localmodel-")) if self.temporary else Path(path).expanduser().absolute()
            )
            for directory in (root / "logs", root / "nodes", root / "kubeconfigs", root / "scratch"):
                directory.mkdir(parents=True, exist_ok=True)
            root.chmod(0o700)
            self._lock = (root / "lock").open("w")
        except OSError as error:
            raise InvalidInput(f"cannot make the state directory {path}: {error.strerror}") from error
        self.root = root
        self._janitor: subprocess.Popen[str] | None = None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise InvalidInput(f"another cluster runs in {root}: choose another --state") from error

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    def kubeconfig(self, user: str) -> Path:
        return self.root / "kubeconfigs" / user

    def node_root(self, node: str) -> Path:
        return self.root / "nodes" / node / "root"

    @property
    def scratch(self) -> Path:
        """For what is of no use after the run."""
        return self.root / "scratch"

    def open(self) -> None:
        """Start the janitor. It must run before the first mount."""
        self._janitor = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_JANITOR)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.tell("remove", self.root if self.temporary else self.scratch)

    def tell(self, verb: str, path: Path) -> None:
        """Tell the janitor what there is to take down."""
        commands = self._commands
        if commands is not None:
            with contextlib.suppress(BrokenPipeError):
                commands.write(f"{(verb, str(path))!r}\n")
                commands.flush()

    def close(self) -> None:
        """Let the janitor do its work, and wait for it."""
        if self._janitor is not None:
            if self._commands is not None:
                self._commands.close()
            self._janitor.wait()
            self._janitor = None
        self._lock.close()

    @property
    def _commands(self) -> IO[str] | None:
        return self._janitor.stdin if self._janitor is not None else None
