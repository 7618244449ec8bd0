"""The agent's download against other clients and the machine's limit, on one server, in one run, interleaved.

python benchmarks/download.py --rounds 5 [--workloads mix,small] [--clients ours,limit,s5cmd] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cachecore.errors import InvalidInput, LocalModelError
from downloadbench.clients import COMMANDS, Job, install_peers, missing
from downloadbench.measuring import measure, source_digest
from downloadbench.report import Result, Sample, lines_of, make_result
from downloadbench.server import find_nginx, serving
from downloadbench.workloads import Workload, make_files, warm, workloads


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(
        prog="download",
        description="Measures the agent's download beside other clients, from an nginx that answers like S3.",
    )
    flags.add_argument("--workloads", default="mix", metavar="NAME[,NAME]", help=f"of {', '.join(workloads())}, or all")
    flags.add_argument("--clients", default="all", metavar="NAME[,NAME]", help=f"of {', '.join(COMMANDS)} (all)")
    flags.add_argument("--rounds", type=int, default=3, metavar="N", help="in each, every client once (default: 3)")
    flags.add_argument("--scale", type=float, default=1.0, metavar="X", help="of the sizes and numbers (default: 1)")
    flags.add_argument("--directory", default="", metavar="DIR", help="where files are made and downloaded to")
    flags.add_argument("--timeout", type=float, default=900.0, metavar="SECONDS", help="for one download (900)")
    flags.add_argument("--json", default="", metavar="FILE", help="where to write the result; - is standard output")
    flags.add_argument("--install-peers", action="store_true", help="install what pip has of the clients, and stop")
    return flags


def chosen(flag: str, text: str, known: Sequence[str]) -> list[str]:
    """The names in the order in which we know them. Raises `InvalidInput`."""
    names = {name.strip() for name in text.split(",")}
    unknown = sorted(names - {*known, "all"})
    if unknown:
        raise InvalidInput(f"{flag}: {unknown[0]!r} is none of {', '.join(known)}")
    return [name for name in known if "all" in names or name in names]


def rotated(clients: Sequence[str], round_number: int) -> list[str]:
    """Nobody is always the first, or always after the same one."""
    start = round_number % len(clients)
    turned = [*clients[start:], *clients[:start]]
    return turned if round_number // len(clients) % 2 == 0 else turned[::-1]


class Bench:
    def __init__(self, flags: argparse.Namespace, directory: Path) -> None:
        self._rounds: int = flags.rounds
        self._timeout_seconds: float = flags.timeout
        self._directory = directory
        self._data = directory / "data"
        # By folder: workloads share them.
        self._checksums: dict[str, dict[str, str]] = {}
        self._digests: dict[str, str] = {}

    def run(self, workload: Workload, clients: Sequence[str]) -> list[Sample]:
        """All rounds of one workload."""
        say(f"{workload.name}: making {workload.size_bytes / 1e9:.2f} GB")
        if workload.folder not in self._checksums:
            self._checksums[workload.folder] = make_files(workload, self._data)
            self._digests[workload.folder] = source_digest(workload, self._data)
        samples = []
        scratch = self._directory / "server"
        with serving(self._data, scratch, workload.behaviour, self._checksums[workload.folder]) as endpoint:
            job = Job(
                endpoint=endpoint,
                workload=workload,
                target=self._directory / "target",
                scratch=self._directory,
            )
            for number in range(self._rounds):
                samples += [self._one(client, job, number) for client in rotated(clients, number)]
        return samples

    def _one(self, client: str, job: Job, number: int) -> Sample:
        warm(job.workload, self._data)
        sample = measure(
            client,
            job,
            number,
            timeout_seconds=self._timeout_seconds,
            # Once is enough, it takes as long as a download.
            digest=self._digests[job.workload.folder] if number == 0 else "",
        )
        outcome = (
            sample.error or f"{sample.work_seconds:.2f} s, {sample.size_bytes / 1e9 / sample.work_seconds:.2f} GB/s"
        )
        say(f"{job.workload.name}, round {number + 1}: {client}: {outcome}")
        return sample


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def run(flags: argparse.Namespace) -> Result:
    """Raises `LocalModelError` when nothing can be measured."""
    if flags.rounds < 1 or flags.scale <= 0 or flags.timeout <= 0:
        raise InvalidInput("--rounds, --scale and --timeout are more than 0")
    known = workloads(flags.scale)
    names = chosen("--workloads", flags.workloads, list(known))
    asked = chosen("--clients", flags.clients, list(COMMANDS))
    find_nginx()
    left_out = {client: why for client in asked if (why := missing(client))}
    for why in left_out.values():
        say(why)
    clients = [client for client in asked if client not in left_out]
    if not clients:
        raise InvalidInput("--clients: none of them is there")
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="download-bench-", dir=flags.directory or None) as directory:
        bench = Bench(flags, Path(directory))
        for name in names:
            samples += bench.run(known[name], clients)
    return make_result(samples, processors=os.cpu_count() or 1, scale=flags.scale, left_out=left_out)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every download ended well and ours was what the server has; 1 otherwise; 130 after Ctrl-C."""
    flags = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if flags.install_peers:
            install_peers(say)
            return 0
        result = run(flags)
    except LocalModelError as error:
        say(f"download: {error}")
        return 1
    except KeyboardInterrupt:
        say("download: stopped")
        return 130
    for line in lines_of(result):
        sys.stdout.write(f"{line}\n")
    if flags.json:
        content = msgspec.json.format(msgspec.json.encode(result), indent=2).decode()
        if flags.json == "-":
            sys.stdout.write(f"{content}\n")
        else:
            Path(flags.json).write_text(f"{content}\n")
    return 1 if any(one.error or one.verified is False for one in result.samples) else 0


if __name__ == "__main__":
    sys.exit(main())
