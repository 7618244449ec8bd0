"""Processes that are watched: ready, killed, started again, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cachesim.host.service_process import ServiceFailed, ServiceProcess, describe_exit, tail

# Answers every request with 200, and dies of SIGTERM.
SERVER = """
import http.server, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""


@contextlib.asynccontextmanager
async def service(directory: Path, program: str) -> AsyncIterator[ServiceProcess]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = ServiceProcess(
        "thing",
        (sys.executable, "-I", "-S", "-c", program, str(port)),
        log_path=directory / "thing.log",
        ready_url=f"http://127.0.0.1:{port}/readyz",
        environment={"PATH": os.environ["PATH"]},
    )
    await started.start()
    try:
        yield started
    finally:
        await started.stop()


def test_it_is_ready_when_it_answers(tmp_path: Path) -> None:
    async def main() -> bool:
        async with service(tmp_path, SERVER) as thing:
            await thing.ready()
            return thing.running

    assert asyncio.run(main())


def test_a_killed_one_is_started_again(tmp_path: Path) -> None:
    async def main() -> tuple[int, int, int]:
        async with service(tmp_path, SERVER) as thing:
            await thing.ready()
            killed = await thing.kill()
            await thing.ready()
            return killed, thing.pid, thing.starts

    killed, pid, starts = asyncio.run(main())
    assert killed != pid
    assert starts == 2


def test_a_stopped_one_stays_down(tmp_path: Path) -> None:
    async def main() -> tuple[bool, int]:
        async with service(tmp_path, SERVER) as thing:
            await thing.ready()
            await thing.stop()
            return thing.running, thing.starts

    assert asyncio.run(main()) == (False, 1)


def test_one_may_be_stopped_and_started_often(tmp_path: Path) -> None:
    async def main() -> int:
        async with service(tmp_path, SERVER) as thing:
            for _ in range(3):
                await thing.ready()
                await thing.stop()
                await thing.start()
            await thing.ready()
            return thing.starts

    assert asyncio.run(main()) == 4


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    async def main() -> bool:
        async with service(tmp_path, f"import signal; signal.signal(15, signal.SIG_IGN)\n{SERVER}") as thing:
            await thing.ready()
            await thing.stop(grace_seconds=0.05)
            return thing.running

    assert not asyncio.run(main())


def test_one_that_cannot_live_ends_with_its_last_words(tmp_path: Path) -> None:
    async def main() -> None:
        async with service(tmp_path, "raise SystemExit('no flag --x')") as thing:
            await thing.ready()

    with pytest.raises(ServiceFailed, match="no flag --x"):
        asyncio.run(main())


@pytest.mark.parametrize("code,text", [(0, "exit code 0"), (3, "exit code 3"), (-9, "signal SIGKILL")])
def test_an_exit_is_described(code: int, text: str) -> None:
    assert describe_exit(code) == text


def test_a_tail_has_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert tail(log, 2) == "line 998\nline 999"


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "none", 2) == ""
