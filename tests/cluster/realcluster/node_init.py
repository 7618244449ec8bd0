"""The first process of a node, in its namespaces: sets them up, then starts programs as it is told.

    python -I -S node_init.py CONFIGURATION

It says `made` when its namespaces are there, and reads lines: `network` (eth0 has come) and `start PROGRAM`; it answers
each with `done`, or with what went wrong. As a node's first process it takes in orphans. Only the standard library: it
starts in milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# The kubelet would set these for the whole machine, were they not as it wants them.
_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


class Node:
    """What of it runs."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._configuration = configuration
        self._directory = Path(configuration["directory"])

    def make(self) -> None:
        """Mounts and name; the network comes later, from outside."""
        mount("--make-rshared", "/")
        mount("-t", "proc", "proc", "/proc")
        # What is in there is the machine's.
        for path in ("/run", "/var/lib", "/var/log", "/srv"):
            mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", path)
        for path, kept in (("/var/lib/kubelet", "kubelet"), ("/var/lib/localmodel", "disk")):
            Path(path).mkdir()
            mount("--bind", str(self._directory / kept), path)
        sysctls = self._directory / "sysctls"
        sysctls.mkdir(exist_ok=True)
        for name, value in _SYSCTLS.items():
            file = sysctls / name.replace("/", ".")
            file.write_text(value)
            mount("--bind", str(file), f"/proc/sys/{name}")
        socket.sethostname(self._configuration["name"])

    def network(self) -> None:
        ip("link", "set", "lo", "up")
        ip("address", "add", self._configuration["address"], "dev", "eth0")
        ip("link", "set", "eth0", "up")
        ip("route", "add", "default", "via", self._configuration["gateway"])
        for subnet, address in self._configuration["routes"]:
            ip("route", "add", subnet, "via", address)

    def start(self, name: str) -> None:
        with (self._directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self._configuration[name], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        # It is waited for with the orphans.
        process.returncode = 0
        if name == "containerd":
            self._import_images()

    def reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass

    def _import_images(self) -> None:
        address = self._configuration["socket"]
        client = ["ctr", "--address", address]
        wait_for([*client, "version"])
        known = run([*client, "--namespace", "k8s.io", "images", "list", "--quiet"])
        for image in self._configuration["images"] if not known else ():
            run([*client, "--namespace", "k8s.io", "images", "import", image])


def mount(*arguments: str) -> None:
    run(["mount", *arguments])


def ip(*arguments: str) -> None:
    run(["ip", *arguments])


def run(command: list[str]) -> str:
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` ended with {ended.returncode}: {ended.stderr.strip()}")
    return ended.stdout.strip()


def wait_for(command: list[str]) -> None:
    deadline = time.monotonic() + 30.0
    while True:
        try:
            run(command)
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def obey(node: Node, line: str) -> None:
    verb, _, name = line.partition(" ")
    if verb == "network":
        node.network()
    elif verb == "start":
        node.start(name)
    else:
        raise RuntimeError(f"unknown: {line}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(path: str) -> int:
    node = Node(json.loads(Path(path).read_text()))
    node.make()
    say("made")
    while True:
        node.reap()
        if not select.select([sys.stdin], [], [], 0.5)[0]:
            continue
        line = sys.stdin.readline().strip()
        if not line:
            # Whoever started the node is gone; so is the node, when this ends.
            return 0
        try:
            obey(node, line)
        except Exception as error:  # noqa: BLE001 - it is told, and the node goes on
            say(" ".join(str(error).split()))
        else:
            say("done")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
