"""Write constraints.txt (the newest versions) and constraints-oldest.txt (the lower bounds that we declare) anew.

Needs `uv` on the PATH, whose resolver ends in seconds where pip's does not. Both files hold for Python 3.11 to 3.13.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DISTRIBUTIONS = ("libs/cachecore", "services/manager", "services/agent", "services/webhook", "simulator")

NEWEST_PREFACE = """\
# Every version that is installed, direct or not, the same on Python 3.11 to 3.13. Without these pins pip tries one
# botocore after the other for many minutes: aiobotocore (by s3fs) takes only a few of them, boto3 (by moto) any.
# tools/lock.py writes this file anew; a line may also be added by hand.
"""
OLDEST_PREFACE = """\
# The oldest version of each dependency that the pyproject files declare, and what resolves beside it, for tox's
# environment `oldest`. tools/lock.py writes this file; tests/unit/house holds it against the lower bounds.
"""


def declared_requirements() -> list[str]:
    """What the distributions need at run time, extras included, without each other."""
    requirements: set[str] = set()
    for folder in DISTRIBUTIONS:
        project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
        requirements.update(project["dependencies"])
        for extra in project.get("optional-dependencies", {}).values():
            requirements.update(extra)
    return sorted(requirement for requirement in requirements if not requirement.startswith("localmodel-"))


def group_requirements(group: str) -> list[str]:
    """The requirements of one dependency group, without the groups that it includes."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return [requirement for requirement in groups[group] if isinstance(requirement, str)]


def resolve(requirements: list[str], resolution: str) -> str:
    """Resolve for every Python from 3.11 on; one `name==version` a line, with markers where Pythons differ."""
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--no-config"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--resolution", resolution, "-"]
    answer = subprocess.run(command, input="\n".join(requirements), text=True, capture_output=True, check=False)
    if answer.returncode != 0:
        sys.exit(f"uv could not resolve: {answer.stderr.strip()}")
    return answer.stdout


def main() -> None:
    runtime = [*declared_requirements(), *group_requirements("test"), "pip>=25.1"]
    newest = resolve([*runtime, *group_requirements("dev")], "highest")
    (ROOT / "constraints.txt").write_text(NEWEST_PREFACE + newest)
    oldest = resolve([*runtime, "hatchling>=1.27"], "lowest-direct")
    (ROOT / "constraints-oldest.txt").write_text(OLDEST_PREFACE + oldest)


if __name__ == "__main__":
    main()
