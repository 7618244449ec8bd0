"""`localmodel up` as a person starts it: a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest


class Up:
    """A running `localmodel up`, ready to be used."""

    def __init__(self, *arguments: str, temporary: Path, environment: Mapping[str, str] | None = None) -> None:
        self.temporary = temporary
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cachesim.cli", "up", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary), **(environment or {})},
        )

    def wait_ready(self) -> str:
        """What it prints until it is ready."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if "Ctrl-C ends it" in line:
                return "".join(lines)
        raise AssertionError(f"it ended: {self.process.communicate()[1]}")

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode

    def descendants(self) -> list[int]:
        """Its services, and their children."""
        found, todo = [], [self.process.pid]
        while todo:
            children = [int(pid) for pid in _children_of(todo.pop())]
            found += children
            todo += children
        return found


def _children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a cluster of one node has printed; it runs until the module's tests have ended."""
    running = Up("--nodes", "1", temporary=tmp_path_factory.mktemp("up"))
    yield running.wait_ready()
    running.end(signal.SIGTERM)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(*arguments: str, environment: Mapping[str, str] | None = None) -> Up:
        temporary = tmp_path / "tmp"
        temporary.mkdir(exist_ok=True)
        started.append(Up(*arguments, temporary=temporary, environment=environment))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()
