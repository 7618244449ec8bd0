"""`localmodel up`: ready in seconds, ends without a trace, refuses in one line."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cachecore.adapters.kube import connect
from cachecore.resources.core import Node

Start = Callable[..., Any]


def value_of(printed: str, name: str) -> str:
    found = re.search(rf"export {name}=(\S+)", printed)
    assert found is not None, printed
    return found[1]


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def gone_within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether it holds in time: what is asked of the kernel and of the janitor has no other sign."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_it_prints_a_kubeconfig_that_works(ready: str) -> None:
    async def node_names() -> list[str]:
        client = await connect(value_of(ready, "KUBECONFIG"), user_agent="test")
        try:
            return [node.name for node in (await client.list(Node)).items if node.ready]
        finally:
            await client.close()

    assert asyncio.run(node_names()) == ["node-1"]


def test_it_prints_the_address_and_the_credentials_of_s3(ready: str) -> None:
    host, port = value_of(ready, "AWS_ENDPOINT_URL").removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5):
        pass
    assert value_of(ready, "AWS_ACCESS_KEY_ID")
    assert value_of(ready, "AWS_SECRET_ACCESS_KEY")


@pytest.mark.parametrize("number,code", [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_everything(up: Start, number: signal.Signals, code: int) -> None:
    running = up("--nodes", "1", "--disk", "64Mi")
    running.wait_ready()
    services = running.descendants()
    assert len(services) >= 4
    assert running.end(number) == code
    assert alive(services) == []
    assert list(running.temporary.iterdir()) == []


def test_even_sigkill_leaves_nothing_behind(up: Start) -> None:
    running = up("--nodes", "1", "--disk", "64Mi")
    running.wait_ready()
    services = running.descendants()
    running.end(signal.SIGKILL)
    assert gone_within(10, lambda: not alive(services))
    assert gone_within(10, lambda: not list(running.temporary.iterdir()))
    assert str(running.temporary) not in Path("/proc/mounts").read_text()


def test_a_state_directory_in_use_is_said_in_one_line(up: Start, ready: str) -> None:
    state = Path(value_of(ready, "KUBECONFIG")).parent
    complaint = up("--state", str(state)).process.communicate(timeout=30)[1]
    assert complaint == f"localmodel: another cluster runs in {state}: choose another --state\n"


@pytest.mark.parametrize(
    "arguments,message",
    [
        (("--disk", "1Mi"), "too small"),
        (("--disk", "much"), "--disk: 'much' is not a quantity"),
        (("--nodes", "-1"), "-1 nodes"),
        (("--nodes", "1000000"), "1000000 nodes: give a number from 0 to 100"),
        (("--port", "99999"), "cannot listen on"),
        (("--state", "/proc/none"), "cannot make the state directory"),
        (("--kubeconfig", "/proc/none"), "cannot write the kubeconfig"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(up: Start, arguments: tuple[str, ...], message: str) -> None:
    process = up(*arguments).process
    complaint = process.communicate(timeout=30)[1]
    assert process.returncode == 1
    assert message in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("flag", ["--port", "--s3-port"])
def test_a_port_in_use_is_said_in_one_line(up: Start, flag: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = up(flag, str(port)).process
        complaint = process.communicate(timeout=30)[1]
    assert process.returncode == 1
    assert complaint == f"localmodel: port {port} on 127.0.0.1 is in use: choose another one, or 0 for any free one\n"
