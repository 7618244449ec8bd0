"""Running `localmodel demo` as a person does: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


class Demo:
    """Starts demos; each keeps what it leaves below one directory, so that leftovers can be told from others'."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.report = directory / "report.json"
        (directory / "tmp").mkdir()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "TMPDIR": str(self.directory / "tmp")}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        command = [sys.executable, "-m", "cachesim.cli", "demo", "--json", str(self.report), *arguments]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=self.directory
        )

    def leftovers(self) -> list[str]:
        """Processes, mounts and files of this demo that are still there."""
        mark = str(self.directory)
        mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if mark in line]
        files = [str(path) for path in (self.directory / "tmp").iterdir()]
        return [*mounts, *files, *(name for name in _command_lines() if mark in name)]


def _command_lines() -> list[str]:
    """What every process of this machine was started with, and its environment, where it may be read."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            command, environment = ((process / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue
        found.append((command + b" " + environment).decode(errors="replace").replace("\0", " "))
    return found


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    return Demo(tmp_path)
