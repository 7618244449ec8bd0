"""The guard: it waits, it gives up, and it starts in a moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cacheagent.guard import main

GUARD = (sys.executable, "-m", "cacheagent", "wait")


def test_a_model_that_is_there_needs_no_waiting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--path", str(tmp_path)]) == 0
    assert "is there" in capsys.readouterr().out


def test_a_model_that_never_comes_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--path={tmp_path}/never", "--timeout-seconds", "0.05"]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "kubectl describe localmodelnode" in message


def test_a_folder_that_the_model_lacks_is_named_with_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
    assert main(["--path", str(tmp_path), "--folder", "v2", "--folder=v3/deep"]) == 1
    assert capsys.readouterr().err == "the model has no v3/deep; it has v1, v2: see the storageUri of the service\n"
    assert main(["--path", str(tmp_path), "--folder", "v1", "--folder", "v2"]) == 0


def test_a_long_list_of_names_is_cut_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(30):
        (tmp_path / f"file-{number:02}").touch()
    assert main(["--path", str(tmp_path), "--folder", "v1"]) == 1
    assert "file-09, ...: see" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--path"], ["--timeout-seconds", "x", "--path", "y"], ["--nonsense", "1"]])
def test_a_wrong_command_line_is_refused(arguments: list[str]) -> None:
    assert main(arguments) == 2


def test_the_environment_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALMODEL_PATH", str(tmp_path))
    assert main([]) == 0


def test_a_waiting_guard_ends_when_the_folder_appears(tmp_path: Path) -> None:
    guard = subprocess.Popen([*GUARD, "--path", str(tmp_path / "model")], stdout=subprocess.PIPE, text=True)
    (tmp_path / "model").mkdir()
    output, _ = guard.communicate(timeout=20)
    assert guard.returncode == 0
    assert "is there" in output


def test_it_imports_nothing_that_takes_time(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "cacheagent", "wait", "--path", str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stderr
    imported = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert "cacheagent.guard" in imported
    assert not imported & {"asyncio", "msgspec", "argparse", "logging", "cachecore", "prometheus_client", "s3fs"}
