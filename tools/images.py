"""Pack the images of the Dockerfile without Docker, as OCI archives for `ctr images import`; for tests on containerd.

python tools/images.py --output DIR [manager agent webhook simulator pause]

The base stands for python:3.11-slim: Debian's Python 3.11, and busybox, from Debian's packages; so this runs on Debian,
and under CPython 3.11. What was built is kept below ~/.cache/localmodel/images until what it is made of changes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import images_archive
import images_contents
import images_slim
from images_archive import ImageError, Layer, walk, write_archive, write_layer

REPOSITORY = Path(__file__).resolve().parents[1]

# As in the Dockerfile; tests/unit/deploy holds the two together.
USER = "65532:65532"
ENVIRONMENT = {
    "PATH": f"{images_contents.PREFIX}/bin:$PATH",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

MEGABYTE = 1_000_000
KEPT_BUILDS = 3
_TOOL = (images_archive, images_contents, images_slim)


class Part(NamedTuple):
    """An image: what of the repository it is made of, what pip installs, and what it runs."""

    folders: tuple[str, ...]
    requirement: str
    entrypoint: tuple[str, ...]
    # Beyond the base, unpacked.
    limit_megabytes: int | None = None
    # Where links in the folders lead to.
    linked: tuple[str, ...] = ("LICENSE",)

    @property
    def sources(self) -> tuple[str, ...]:
        return (*self.folders, *self.linked)


PARTS = {
    "manager": Part(("libs/cachecore", "services/manager"), "localmodel-manager", ("cachemanager",), 100),
    "agent": Part(("libs/cachecore", "services/agent"), "localmodel-agent[abfs,gs,s3]", ("cacheagent",), 120),
    "webhook": Part(("libs/cachecore", "services/webhook"), "localmodel-webhook", ("cachewebhook",), 100),
    "simulator": Part(
        ("libs/cachecore", "services/manager", "services/agent", "services/webhook", "simulator"),
        "localmodel-simulator",
        ("localmodel",),
        linked=("LICENSE", "crds"),
    ),
}
PAUSE = "pause"
NAMES = (*PARTS, PAUSE)


class Built(NamedTuple):
    """An archive, and what its layers need where they are unpacked."""

    path: Path
    base_bytes: int
    beyond_bytes: int


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "localmodel" / "images"


def image_name(name: str) -> str:
    """As the manifests call it, in full; its tag is the version of the project."""
    if name == PAUSE:
        return "docker.io/localmodel/pause:1"
    project = tomllib.loads((REPOSITORY / "libs" / "cachecore" / "pyproject.toml").read_text())["project"]
    return f"docker.io/localmodel/{name}:{project['version']}"


def image_config(entrypoint: Sequence[str]) -> dict[str, Any]:
    variables = {name: value.replace("$PATH", BASE_PATH) for name, value in ENVIRONMENT.items()}
    return {
        "Entrypoint": list(entrypoint),
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "User": USER,
        "WorkingDir": "/",
    }


def files_of(repository: Path, sources: Sequence[str]) -> Iterator[Path]:
    """Every file of the named files and folders, and the pins that they are installed with."""
    for path in [repository / name for name in (*sources, "constraints.txt")] if sources else ():
        if path.is_dir():
            yield from (below for below in walk(path) if below.is_file())
        else:
            yield path


def key_of(repository: Path, sources: Sequence[str], words: Sequence[str]) -> str:
    """A name for all that an image is made of: sources, pins, Debian's packages, and this tool."""
    digest = hashlib.sha256(json.dumps(words).encode())
    for module in (Path(__file__), *(Path(str(module.__file__)) for module in _TOOL)):
        digest.update(module.read_bytes())
    for path in files_of(repository, sources):
        name = path.relative_to(repository)
        if not any(fnmatch(word, pattern) for word in name.parts for pattern in images_contents.NOT_SOURCES):
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:24]


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder on the cache's disk: what is finished there is renamed into the cache."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    for abandoned in cache_folder().glob(".building-*"):
        with suppress(FileNotFoundError):
            # Of a build that was killed: none takes an hour.
            if time.time() - abandoned.stat().st_mtime > 3600:
                shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=cache_folder()) as folder:
        yield Path(folder)


def keep(finished: Path, name: str, key: str) -> Path:
    """Take a whole build into the cache, and let go of all but the newest of its name."""
    target = cache_folder() / f"{name}-{key}"
    try:
        finished.rename(target)
    except OSError:
        # Somebody else was faster, with the same.
        if not target.is_dir():
            raise
    builds = sorted(cache_folder().glob(f"{name}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in builds[KEPT_BUILDS:]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def base_layer(name: str, packages: Sequence[str], make: Callable[[Path], None]) -> Layer:
    key = key_of(REPOSITORY, (), packages)
    entry = cache_folder() / f"{name}-{key}"
    if not entry.is_dir():
        with workplace() as place:
            root, finished = place / "root", place / "finished"
            root.mkdir()
            finished.mkdir()
            make(root)
            layer = write_layer(root, finished / "layer.tar")
            (finished / "layer.json").write_text(json.dumps(layer[1:]))
            entry = keep(finished, name, key)
    return Layer(entry / "layer.tar", *json.loads((entry / "layer.json").read_text()))


def python_layer() -> Layer:
    return base_layer("base", images_contents.PYTHON_PACKAGES, images_contents.make_python_root)


def build_pause() -> Built:
    layer = base_layer("shell", images_contents.SHELL_PACKAGES, images_contents.make_shell_root)
    key = key_of(REPOSITORY, (), [PAUSE, layer.digest])
    entry = cache_folder() / f"{PAUSE}-{key}"
    if not entry.is_dir():
        with workplace() as place:
            finished = place / "finished"
            finished.mkdir()
            config = image_config(["/bin/sleep", "infinity"])
            write_archive(finished / "image.tar", image_name(PAUSE), [layer], config, images_contents.architecture())
            entry = keep(finished, PAUSE, key)
    return Built(entry / "image.tar", layer.unpacked_bytes, 0)


def build_part(name: str) -> Built:
    part = PARTS[name]
    base = python_layer()
    words = [name, base.digest, image_name(name)]
    entry = cache_folder() / f"{name}-{key_of(REPOSITORY, part.sources, words)}"
    if not entry.is_dir():
        with workplace() as place:
            source, root, finished = place / "source", place / "root", place / "finished"
            for folder in (source, root, finished):
                folder.mkdir()
            images_contents.copy_sources(REPOSITORY, part.sources, source)
            images_contents.install_part(source, part.folders, part.requirement, root, name)
            layer = write_layer(root, place / "layer.tar")
            config = image_config(part.entrypoint)
            architecture = images_contents.architecture()
            write_archive(finished / "image.tar", image_name(name), [base, layer], config, architecture)
            (finished / "image.json").write_text(json.dumps(layer.unpacked_bytes))
            entry = keep(finished, name, key_of(source, part.sources, words))
    return Built(entry / "image.tar", base.unpacked_bytes, json.loads((entry / "image.json").read_text()))


def check_size(name: str, beyond_bytes: int) -> None:
    limit = PARTS[name].limit_megabytes if name in PARTS else None
    if limit is not None and beyond_bytes > limit * MEGABYTE:
        measured = f"{beyond_bytes / MEGABYTE:.1f} MB beyond its base"
        raise ImageError(f"{name} is too large: {measured}, and {limit} MB is the limit")


def place(built: Built, target: Path) -> Path:
    """At `target`, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    # A link is not renamed over another one to the same file; it would stay.
    target.unlink(missing_ok=True)
    try:
        os.link(built.path, fresh)
    except OSError:
        shutil.copyfile(built.path, fresh)
    fresh.replace(target)
    return target


def build(
    names: Sequence[str] = NAMES, output: Path | None = None, told: Callable[[str], None] = lambda line: None
) -> dict[str, Path]:
    """The archive of each named image: in `output` if given (NAME.tar), else where the cache keeps it.

    `told` gets a line with the size of each. Raises `ImageError`, with one line for the person at the terminal.
    """
    images_contents.check_python()
    archives: dict[str, Path] = {}
    for name in names:
        built = build_pause() if name == PAUSE else build_part(name)
        whole_bytes = built.base_bytes + built.beyond_bytes
        told(f"{name:<10} {whole_bytes / MEGABYTE:6.1f} MB, {built.beyond_bytes / MEGABYTE:6.1f} MB beyond its base")
        check_size(name, built.beyond_bytes)
        archives[name] = place(built, output / f"{name}.tar") if output else built.path
    return archives


def known(name: str) -> str:
    """An argument of the command; argparse's own choices refuse that there is none."""
    if name not in NAMES:
        raise argparse.ArgumentTypeError(f"no image is named {name!r}; there are {', '.join(NAMES)}")
    return name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="gets NAME.tar of each image")
    parser.add_argument("names", nargs="*", type=known, metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    arguments = parser.parse_args()
    try:
        build(arguments.names or NAMES, arguments.output, print)
    except ImageError as error:
        sys.exit(f"images: {error}")


if __name__ == "__main__":
    main()
