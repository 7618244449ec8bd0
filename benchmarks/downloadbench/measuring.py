"""One client's download: prepared, run, counted, checked, removed."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from cacheagent.adapters.posix_disk import PosixDisk
from cachecore.names import storage_key
from cachecore.store.verify import digest_folder, verify_copy
from downloadbench.clients import COMMANDS, OURS, Job, environment
from downloadbench.report import Sample
from downloadbench.server import BUCKET
from downloadbench.watch import sync_file_system
from downloadbench.workloads import Workload


class _Watched(msgspec.Struct, frozen=True, kw_only=True):
    exit_code: int
    seconds: float
    durable_seconds: float
    cpu_seconds: float
    peak_rss_bytes: float


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    work_seconds: float
    work_cpu_seconds: float


def measure(client: str, job: Job, round_number: int, *, timeout_seconds: float, digest: str = "") -> Sample:
    """`digest`: what the agent's copy must have; it is read again for it. "" leaves that out."""
    shutil.rmtree(job.target, ignore_errors=True)
    job.target.mkdir(parents=True)
    # What others have left to be written is not this client's.
    sync_file_system(str(job.target))
    command = COMMANDS[client](job)
    watcher = (sys.executable, "-S", "-m", "downloadbench.watch", str(job.target), str(timeout_seconds), *command)
    try:
        done = subprocess.run(
            watcher, capture_output=True, check=True, env=environment(job.endpoint, job.scratch), cwd=job.scratch
        )
        return _sample(client, job, round_number, done, digest)
    finally:
        shutil.rmtree(job.target, ignore_errors=True)


def _sample(client: str, job: Job, round_number: int, done: subprocess.CompletedProcess[bytes], digest: str) -> Sample:
    lines = [line for line in done.stdout.splitlines() if line.startswith(b"{")]
    watched = msgspec.json.decode(lines[-1], type=_Watched)
    told = _told(lines[:-1])
    error = _error(client, job, watched, done.stderr)
    verified = None
    if client == OURS and digest and not error:
        verified = asyncio.run(verified_copy(job, digest))
    return Sample(
        client=client,
        workload=job.workload.name,
        round=round_number,
        size_bytes=job.workload.size_bytes,
        seconds=watched.seconds,
        work_seconds=told.work_seconds if told else watched.seconds,
        durable_seconds=watched.durable_seconds,
        cpu_seconds=watched.cpu_seconds,
        work_cpu_seconds=told.work_cpu_seconds if told else watched.cpu_seconds,
        peak_rss_bytes=int(watched.peak_rss_bytes),
        verified=verified,
        error=error,
    )


def _told(lines: list[bytes]) -> _Told | None:
    for line in lines:
        try:
            return msgspec.json.decode(line, type=_Told)
        except msgspec.MsgspecError:
            continue
    return None


def _error(client: str, job: Job, watched: _Watched, stderr: bytes) -> str:
    if watched.exit_code:
        said = stderr.decode(errors="replace").strip().splitlines()
        return f"exit code {watched.exit_code}: {said[-1][:200] if said else 'it said nothing'}"
    wanted = sorted(size for _, size in job.workload.files)
    found = sorted(file.stat().st_size for file in _files(client, job))
    return "" if found == wanted else f"{len(found)} files of {sum(found)} bytes came, not what there is"


def _files(client: str, job: Job) -> list[Path]:
    private = ".localmodel"
    return [
        file
        for file in job.target.rglob("*")
        if file.is_file() and (client != OURS or private not in file.relative_to(job.target).parts)
    ]


async def verified_copy(job: Job, digest: str) -> bool:
    """Whether what is on the disk is what the manifest says, and what the server has."""
    disk = PosixDisk(str(job.target))
    try:
        report = await verify_copy(disk, storage_key(f"s3://{BUCKET}/{job.workload.folder}"))
    finally:
        disk.close()
    return not report.problems and report.digest == digest


def source_digest(workload: Workload, data: Path) -> str:
    """The digest that a copy of the workload's files has."""

    async def compute() -> str:
        disk = PosixDisk(str(data))
        try:
            return (await digest_folder(disk, workload.folder)).digest
        finally:
            disk.close()

    return asyncio.run(compute())
