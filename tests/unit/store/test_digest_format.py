"""docs/digest.md is what runs, and what runs never changes."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cacheagent.adapters.posix_disk import PosixDisk
from cachecore.store.digest import PART_BYTES, digest_of_contents
from cachecore.store.verify import digest_folder

# A folder with all that the format speaks of: several parts, whole and broken, no bytes, and names that sort by bytes.
CONTENTS = {
    "config.json": b"{}\n",
    "empty": b"",
    "sub/exactly-one-part.bin": bytes(range(256)) * (PART_BYTES // 256),
    "sub/three-parts.bin": bytes(reversed(range(256))) * (2 * PART_BYTES // 256) + b"tail",
    "Zürich/模型.bin": "grüezi".encode(),
    "zeta.txt": b"z",
}
GOLDEN = "blake3:6c31cb0d01da9b14c371c570ee7796927d2b7e7760fc28e29c0258d240cab863"
EXAMPLE = {"empty": b"", "hello.txt": b"hello"}


@pytest.fixture(scope="module")
def document() -> str:
    return (Path(__file__).parents[3] / "docs" / "digest.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("model")
    for name, content in CONTENTS.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_the_digest_of_a_known_tree_never_changes() -> None:
    assert digest_of_contents(CONTENTS) == GOLDEN


def test_the_digest_of_a_folder_is_that_of_its_files(folder: Path) -> None:
    disk = PosixDisk(str(folder.parent))
    try:
        assert asyncio.run(digest_folder(disk, folder.name)).digest == GOLDEN
    finally:
        disk.close()


def test_the_lines_of_python_in_the_document_compute_it(folder: Path, document: str, tmp_path: Path) -> None:
    script = tmp_path / "digest.py"
    (code,) = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    script.write_text(code)
    answer = subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True, text=True)
    assert answer.stdout == f"{GOLDEN}\n"


def test_the_example_of_the_document_is_true(document: str) -> None:
    assert digest_of_contents(EXAMPLE) in document
