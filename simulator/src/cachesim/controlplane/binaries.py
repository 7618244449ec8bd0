"""Where the binaries of the control plane come from: KUBEBUILDER_ASSETS, or a build of our own, kept by version."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cachecore.errors import InvalidInput

VERSION = "v1.36.3"
PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
# What a node needs, too. Kubernetes' own test tools have none of these.
NODE_PARTS = ("kubelet", "kube-proxy")
_ALL = PARTS + NODE_PARTS
# The convention of Kubernetes' own test tools (setup-envtest): a directory with the binaries in it.
ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
_MODULE = Path(__file__).with_name("module")
_LAST_LINES = 15


class NoBinaries(InvalidInput):
    """There is no control plane to start; the message says what is missing and how to get it."""


def find_binaries(environment: Mapping[str, str] = os.environ, *, parts: tuple[str, ...] = PARTS) -> Path:
    """The directory with one executable for each of `parts`.

    Raises `NoBinaries` when there is none, or when KUBEBUILDER_ASSETS names one that lacks some: it wins where it is
    set, so something else in its place would be a surprise.
    """
    if assets := environment.get(ASSETS_VARIABLE, ""):
        lacking = _lacking(Path(assets), parts)
        if lacking:
            raise NoBinaries(
                f"{ASSETS_VARIABLE}={assets} has no {', '.join(lacking)}: add what is missing, or unset it and run"
                " `make kube`"
            )
        return Path(assets)
    directory = cache_directory(environment)
    if _lacking(directory, parts):
        way = _why_no_go(environment)
        hint = f"run `make kube`, which needs Go {_go_version_needed()} ({way})" if way else "run `make kube`"
        raise NoBinaries(f"no control plane: {ASSETS_VARIABLE} is not set, and {directory} has none: {hint}")
    return directory


def build_binaries(environment: Mapping[str, str] = os.environ, *, say: Callable[[str], None] | None = None) -> Path:
    """Build all parts into the user's cache, unless they are there; answer the directory. `say` is told first.

    Raises `NoBinaries` without a Go that is new enough, or with Go's last words when it fails.
    """
    directory = cache_directory(environment)
    if not _lacking(directory, _ALL):
        return directory
    if why := _why_no_go(environment):
        raise NoBinaries(f"cannot build the control plane: {why}; it needs Go {_go_version_needed()} or newer")
    with _locked(directory.parent):
        if _lacking(directory, _ALL):
            if say is not None:
                say(f"building {', '.join(_ALL)} of Kubernetes {VERSION}, once: about five minutes on two cores")
            _build(directory, environment)
    return directory


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where a build of this version is kept. Another Kubernetes, or a change to our module, is another directory."""
    root = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME") or "~").expanduser() / ".cache")
    digest = hashlib.sha256()
    for path in sorted(_MODULE.glob("*")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return Path(root) / "localmodel" / "kube" / f"{VERSION}-{digest.hexdigest()[:8]}"


def _build(directory: Path, environment: Mapping[str, str]) -> None:
    """One binary, and a link to it for each part; the directory appears whole."""
    unfinished = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        ended = subprocess.run(
            ["go", "build", "-trimpath", "-ldflags", _linker_flags(), "-o", str(unfinished / "kube"), "."],
            cwd=_MODULE,
            # What else the user has set for Go must not change what is built.
            env={**environment, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if ended.returncode != 0:
            last = "\n".join(ended.stdout.splitlines()[-_LAST_LINES:])
            raise NoBinaries(f"`go build` of the control plane failed; its last words:\n{last}")
        for part in _ALL:
            (unfinished / part).symlink_to("kube")
        unfinished.chmod(0o755)
        if directory.exists():
            shutil.rmtree(directory)
        unfinished.rename(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _linker_flags() -> str:
    """Strip it, and let the binaries say which version they are, as a release's do."""
    _, major, minor, _ = re.split(r"\D+", VERSION)
    settings = {
        "k8s.io/component-base/version.gitVersion": VERSION,
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "k8s.io/client-go/pkg/version.gitVersion": VERSION,
    }
    return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in settings.items())])


def _lacking(directory: Path, parts: tuple[str, ...]) -> list[str]:
    return [part for part in parts if not os.access(directory / part, os.X_OK)]


def _why_no_go(environment: Mapping[str, str]) -> str:
    """Why Go can't build it; "" when it can."""
    if shutil.which("go", path=environment.get("PATH")) is None:
        return "there is no `go` on the PATH"
    # Inside the module: a Go that may fetch the toolchain that a go.mod asks for answers with that one's version.
    ended = subprocess.run(
        ["go", "env", "GOVERSION"], cwd=_MODULE, env=dict(environment), capture_output=True, text=True, check=False
    )
    found = ended.stdout.strip()
    if ended.returncode != 0 or _numbers(found) < _numbers(_go_version_needed()):
        return f"the `go` on the PATH is {found or 'not usable: ' + ended.stderr.strip()}"
    return ""


def _go_version_needed() -> str:
    found = re.search(r"^go (\S+)$", (_MODULE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise NoBinaries(f"{_MODULE / 'go.mod'} says no Go version: install the package again")
    return found.group(1)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One build at a time: two would only take twice as long."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / "lock").open("w")
    except OSError as error:
        raise NoBinaries(f"cannot write to {directory}: {error.strerror}; set XDG_CACHE_HOME to a folder") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
