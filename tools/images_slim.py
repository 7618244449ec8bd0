"""Take out of an installed part what no service ever reads; the Dockerfile and tools/images.py run it both.

python images_slim.py PREFIX PART

It needs the standard library alone, and knows nothing of where the part was built.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Callable
from pathlib import Path

# The services speak to the API server through the REST client, by paths of their own: of the generated classes, which
# both clients load when they are first named, only the empty registers are ever imported.
GENERATED = (
    "kubernetes/client/api",
    "kubernetes/client/models",
    "kubernetes/aio/client/api",
    "kubernetes/aio/client/models",
)
# What signs for S3, and what may fetch credentials for it. The files beside the folders are kept too.
AWS_SERVICES = frozenset({"s3", "signin", "sso", "sso-oidc", "sts"})
# The simulator's S3 server looks up other services' definitions.
WITH_ALL_OF_AWS = frozenset({"simulator"})


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def is_left_over(path: Path) -> bool:
    """Tests of dependencies, types for checkers, bytecode, and where a wheel lay when it was installed."""
    if path.is_dir():
        return path.name in ("__pycache__", "tests")
    # By folder alone: a module may be named after a test of statistics.
    return path.suffix in (".pyi", ".pyc") or path.name == "direct_url.json"


def remove_all(folder: Path, unwanted: Callable[[Path], bool]) -> None:
    """Below `folder`; what lies in an unwanted folder goes with it."""
    for path in sorted(folder.iterdir()):
        if unwanted(path):
            remove(path)
        elif path.is_dir() and not path.is_symlink():
            remove_all(path, unwanted)


def keep_records(packages: Path) -> None:
    """Of the files that each distribution has recorded, keep those that are there.

    Without their hashes: those of the commands would tell where pip ran.
    """
    for record in sorted(packages.glob("*.dist-info/RECORD")):
        with record.open(newline="") as file:
            names = sorted(row[0] for row in csv.reader(file) if row and (packages / row[0]).exists())
        with record.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows((name, "", "") for name in names)


def slim(prefix: Path, part: str) -> None:
    (packages,) = prefix.glob("lib/python3.*/site-packages")
    remove_all(packages, is_left_over)
    for folder in GENERATED:
        for path in sorted((packages / folder).glob("*.py")):
            if path.name != "__init__.py":
                remove(path)
    if part not in WITH_ALL_OF_AWS:
        for path in sorted((packages / "botocore" / "data").glob("*/")):
            if path.is_dir() and path.name not in AWS_SERVICES:
                remove(path)
    keep_records(packages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", type=Path, help="where the part is installed")
    parser.add_argument("part", help="manager, agent, webhook or simulator")
    arguments = parser.parse_args()
    slim(arguments.prefix, arguments.part)


if __name__ == "__main__":
    main()
