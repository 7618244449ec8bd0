"""What the layers of the images hold: Debian's Python, and one part of localmodel as the Dockerfile installs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import images_slim
from images_archive import ImageError

PREFIX = "/opt/localmodel"
PYTHON = "python3.11"

SHELL_PACKAGES = ("busybox-static",)
PYTHON_PACKAGES = (
    *SHELL_PACKAGES,
    "ca-certificates",
    # For `install`, which busybox of Debian has not; the five libraries below are what it is linked with.
    "coreutils",
    "libacl1",
    "libattr1",
    "libgmp10",
    "libpcre2-8-0",
    "libselinux1",
    "libbz2-1.0",
    "libc6",
    "libcrypt1",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libsqlite3-0",
    "libssl3",
    # Wheels expect it of every Linux, as the official image has it.
    "libstdc++6",
    "libuuid1",
    "media-types",
    "python3.11-minimal",
    "zlib1g",
)

# What tools leave among the sources.
NOT_SOURCES = ("__pycache__", "*.pyc", "*.egg-info", "dist")

_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
_GROUP = "root:x:0:\nnogroup:x:65534:\n"
# Without it the C library asks the name server before it reads /etc/hosts.
_NAME_SERVICES = "passwd: files\ngroup: files\nhosts: files dns\n"


def run(*command: str | Path, folder: Path | None = None) -> str:
    """The command's output; `ImageError` with the last line of its complaint."""
    try:
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ImageError(f"{command[0]} is not installed; the base layer is made of Debian's packages") from error
    if answer.returncode != 0:
        complaint = [line for line in answer.stderr.splitlines() if line.strip()] or ["no message"]
        raise ImageError(f"{Path(command[0]).name} failed: {complaint[-1].strip()}")
    return answer.stdout


def check_python(
    implementation: str = sys.implementation.name, version: tuple[int, ...] = sys.version_info[:2]
) -> None:
    """Wheels are chosen for the interpreter that runs pip: it has to be the one that the images have."""
    if (implementation, version) != ("cpython", (3, 11)):
        running = f"{implementation} {'.'.join(map(str, version))}"
        raise ImageError(f"the images are made of wheels for CPython 3.11, and this is {running}: use a .venv of 3.11")


def missing() -> list[str]:
    """What this machine lacks to make images; empty: nothing."""
    lacks = []
    try:
        check_python()
    except ImageError as error:
        lacks.append(str(error))
    tools = [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]
    if tools:
        lacks.append(f"Debian, whose packages the images have ({' and '.join(tools)} are not here)")
    return lacks


def architecture() -> str:
    """Debian's name for it, which is OCI's too (amd64, arm64)."""
    return run("dpkg", "--print-architecture").strip()


def unpack_packages(root: Path, names: Sequence[str]) -> None:
    """Debian packages, without what describes them."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    with tempfile.TemporaryDirectory(prefix="localmodel-packages-") as temporary:
        # To root's own folder apt's unprivileged user could not write.
        run("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *names, folder=Path(temporary))
        for package in sorted(Path(temporary).glob("*.deb")):
            unpack(package, root)


def unpack(package: Path, root: Path) -> None:
    content = package.with_suffix(".tar")
    with content.open("wb") as file:
        if subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=file, check=False).returncode != 0:
            raise ImageError(f"dpkg-deb failed: {package.name} is damaged")
    described = [f"--exclude=./usr/share/{name}" for name in ("bug", "doc", "lintian", "locale", "man")]
    # The packages still write to /bin and /lib, which are links here.
    run("tar", "-x", "-f", content, "-C", root, "--keep-directory-symlink", "--no-same-owner", *described)


def add_shell(root: Path) -> None:
    """busybox under all of its names, unless a package brings the real thing."""
    for applet in run(root / "bin" / "busybox", "--list").split():
        if not any((root / "usr" / folder / applet).exists() for folder in ("bin", "sbin")):
            (root / "usr" / "bin" / applet).symlink_to("/bin/busybox")
    for folder in ("dev", "etc", "proc", "run", "sys", "tmp"):
        (root / folder).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc" / "passwd").write_text(_PASSWD)
    (root / "etc" / "group").write_text(_GROUP)
    (root / "etc" / "nsswitch.conf").write_text(_NAME_SERVICES)


def add_authorities(root: Path) -> None:
    """The bundle that the package makes when it is configured, where OpenSSL looks for it."""
    bundle = root / "etc" / "ssl" / "certs" / "ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    certificates = sorted((root / "usr" / "share" / "ca-certificates").rglob("*.crt"))
    bundle.write_text("".join(certificate.read_text() for certificate in certificates))
    for name, target in (("cert.pem", "/etc/ssl/certs/ca-certificates.crt"), ("certs", "/etc/ssl/certs")):
        link = root / "usr" / "lib" / "ssl" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(target)


def make_shell_root(root: Path) -> None:
    unpack_packages(root, SHELL_PACKAGES)
    add_shell(root)


def make_python_root(root: Path) -> None:
    """What stands for python:3.11-slim, with its Python at /usr/bin."""
    unpack_packages(root, PYTHON_PACKAGES)
    (root / "usr" / "bin" / "python3").symlink_to(PYTHON)
    add_shell(root)
    add_authorities(root)


def install_part(source: Path, folders: Sequence[str], requirement: str, root: Path, part: str) -> None:
    """A virtual environment at /opt/localmodel below `root`, of the sources below `source`."""
    prefix = root / PREFIX.strip("/")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    with tempfile.TemporaryDirectory(prefix="localmodel-wheels-") as temporary:
        projects = [source / folder for folder in folders]
        run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", temporary, *projects)
        # By their paths: an index may have others of their names.
        wheels = sorted(Path(temporary).glob("*.whl"))
        options = ("--ignore-installed", "--no-compile", "--no-warn-script-location", "--prefix", prefix)
        run(*pip, "install", *options, "-c", source / "constraints.txt", *wheels, requirement)
    make_environment(prefix)
    images_slim.slim(prefix, part)


def make_environment(prefix: Path) -> None:
    """Turn what pip installed below `prefix` into what `python -m venv` would have made inside of the image."""
    interpreter = os.fsencode(sys.executable)
    for script in sorted((prefix / "bin").iterdir()):
        content = script.read_bytes()
        script.write_bytes(content.replace(interpreter, f"{PREFIX}/bin/python".encode()))
    for name in ("python", "python3", PYTHON):
        (prefix / "bin" / name).symlink_to(f"/usr/bin/{PYTHON}")
    (prefix / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n")


def copy_sources(repository: Path, sources: Sequence[str], target: Path) -> None:
    """Build from a copy: what is written while pip works belongs to the next image."""
    ignored = shutil.ignore_patterns(*NOT_SOURCES)
    for name in (*sources, "constraints.txt"):
        if (repository / name).is_dir():
            shutil.copytree(repository / name, target / name, symlinks=True, ignore=ignored)
        else:
            shutil.copyfile(repository / name, target / name)
