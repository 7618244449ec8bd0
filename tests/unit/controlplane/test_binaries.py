"""Where the control plane's binaries come from, and what is said when they can't be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cachesim.controlplane import PARTS, NoBinaries, build_binaries, find_binaries
from cachesim.controlplane.binaries import cache_directory

GOOD_GO = """
case "$1" in
env) echo go1.26.8 ;;
build)
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\necho kube\\n' > "$2"
    chmod 755 "$2"
    echo built >> "$HOME/builds" ;;
esac
"""
OLD_GO = "echo go1.19.8"
BROKEN_GO = """
case "$1" in
env) echo go1.26.8 ;;
build) echo module: no space left on device; exit 1 ;;
esac
"""


def world(directory: Path, go: str = "") -> dict[str, str]:
    """An environment with a home of its own and this `go`, or none."""
    programs = directory / "programs"
    programs.mkdir()
    for name in ("sh", "chmod"):
        (programs / name).symlink_to(f"/bin/{name}")
    if go:
        (programs / "go").write_text(f"#!/bin/sh\n{go}\n")
        (programs / "go").chmod(0o755)
    return {"HOME": str(directory), "PATH": str(programs)}


def assets(directory: Path, *parts: str) -> Path:
    directory.mkdir()
    for part in parts:
        (directory / part).touch(mode=0o755)
    return directory


def test_the_assets_variable_wins(tmp_path: Path) -> None:
    given = assets(tmp_path / "given", *PARTS)
    environment = {**world(tmp_path, GOOD_GO), "KUBEBUILDER_ASSETS": str(given)}
    build_binaries(environment)
    assert find_binaries(environment) == given


def test_assets_that_lack_a_part_are_refused(tmp_path: Path) -> None:
    given = assets(tmp_path / "given", "etcd", "kube-apiserver")
    with pytest.raises(NoBinaries, match="has no kube-controller-manager, kube-scheduler: add what is missing"):
        find_binaries({**world(tmp_path, GOOD_GO), "KUBEBUILDER_ASSETS": str(given)})


def test_what_was_built_is_found(tmp_path: Path) -> None:
    environment = world(tmp_path, GOOD_GO)
    built = build_binaries(environment)
    assert find_binaries(environment) == built
    assert built == cache_directory(environment)
    assert all(subprocess.check_output([built / part]) == b"kube\n" for part in PARTS)


def test_it_is_built_once(tmp_path: Path) -> None:
    environment = world(tmp_path, GOOD_GO)
    said: list[str] = []
    for _ in range(2):
        build_binaries(environment, say=said.append)
    assert len(said) == 1
    assert (tmp_path / "builds").read_text() == "built\n"


def test_a_half_built_directory_is_built_anew(tmp_path: Path) -> None:
    environment = world(tmp_path, GOOD_GO)
    built = build_binaries(environment)
    (built / "kube").unlink()
    assert build_binaries(environment) == built
    assert os.access(built / "etcd", os.X_OK)


def test_the_cache_folder_is_the_users(tmp_path: Path) -> None:
    environment = {**world(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "elsewhere")}
    assert cache_directory(environment).is_relative_to(tmp_path / "elsewhere" / "localmodel" / "kube")


def test_without_a_build_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(NoBinaries, match=r"KUBEBUILDER_ASSETS is not set, and .* has none: run `make kube`$"):
        find_binaries(world(tmp_path, GOOD_GO))


@pytest.mark.parametrize(
    ("go", "why"), [("", "there is no `go` on the PATH"), (OLD_GO, "the `go` on the PATH is go1.19.8")]
)
def test_without_a_go_that_is_new_enough_it_says_so(tmp_path: Path, go: str, why: str) -> None:
    environment = world(tmp_path, go)
    with pytest.raises(NoBinaries, match=why):
        find_binaries(environment)
    with pytest.raises(NoBinaries, match=why):
        build_binaries(environment)


def test_a_build_that_fails_leaves_nothing_and_tells_gos_last_words(tmp_path: Path) -> None:
    environment = world(tmp_path, BROKEN_GO)
    with pytest.raises(NoBinaries, match="no space left on device"):
        build_binaries(environment)
    assert [path.name for path in cache_directory(environment).parent.iterdir()] == ["lock"]


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {**world(tmp_path, GOOD_GO), "XDG_CACHE_HOME": str(tmp_path / "file")}
    with pytest.raises(NoBinaries, match=r"cannot write to .*; set XDG_CACHE_HOME to a folder"):
        build_binaries(environment)


@pytest.mark.parametrize(("arguments", "code"), [((), 1), (("--if-possible",), 0)])
def test_the_command_fails_unless_told_to_go_on(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    environment = {**world(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "cachesim.controlplane", *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert ended.stderr == (
        "localmodel: cannot build the control plane: there is no `go` on the PATH; it needs Go 1.26.0 or newer\n"
    )
