"""Sum the JUnit reports of all pytest runs into one line: `N passed, N failed, N skipped`.

Exits with 1 when a test failed, a report can't be read, or no test passed at all.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree


def count(report: Path) -> tuple[int, int, int]:
    """How many tests of one report passed, failed (or broke), and were skipped."""
    passed = failed = skipped = 0
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314  # our own pytest wrote it
        broken = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        omitted = int(suite.get("skipped", 0))
        passed += int(suite.get("tests", 0)) - broken - omitted
        failed += broken
        skipped += omitted
    return passed, failed, skipped


def main() -> int:
    passed = failed = skipped = 0
    for report in sorted(Path(sys.argv[1]).glob("*.xml")):
        counts = count(report)
        print(f"{report.stem}: {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped")
        passed, failed, skipped = passed + counts[0], failed + counts[1], skipped + counts[2]
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
