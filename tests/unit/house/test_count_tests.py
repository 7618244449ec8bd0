"""The last line of CI: how many tests passed, over all suites."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPORT = '<testsuites><testsuite name="pytest" tests="{}" errors="{}" failures="{}" skipped="{}"/></testsuites>'


def count(repository: Path, reports: Path) -> tuple[str, int]:
    """The last line that the tool prints, and its exit code."""
    command = [sys.executable, str(repository / "tools" / "count_tests.py"), str(reports)]
    answer = subprocess.run(command, text=True, capture_output=True, check=False)
    return answer.stdout.splitlines()[-1], answer.returncode


def test_the_reports_of_all_suites_are_summed(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "unit.xml").write_text(REPORT.format(10, 0, 0, 1))
    (tmp_path / "e2e.xml").write_text(REPORT.format(5, 0, 0, 0))
    assert count(repository, tmp_path) == ("14 passed, 0 failed, 1 skipped", 0)


def test_an_error_and_a_failure_both_count_as_failed(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "unit.xml").write_text(REPORT.format(10, 1, 2, 0))
    assert count(repository, tmp_path) == ("7 passed, 3 failed, 0 skipped", 1)


def test_no_report_at_all_is_a_failure(repository: Path, tmp_path: Path) -> None:
    assert count(repository, tmp_path) == ("0 passed, 0 failed, 0 skipped", 1)
