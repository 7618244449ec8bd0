"""Nothing in the tree ties it to one machine or to one registry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

IGNORED_FOLDERS = frozenset({".git", ".venv", ".tox", "__pycache__", "build", "dist", "node_modules", "bin"})

# Written apart, so that this file does not contain what it looks for.
REGISTRIES = re.compile(
    "|".join(
        re.escape(f"{host}.{domain}")
        for host, domain in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("registry.npmjs", "org"),
            ("proxy.golang", "org"),
            ("index.crates", "io"),
            ("repo.maven.apache", "org"),
            ("deb.debian", "org"),
        )
    )
    + r"|--(?:extra-)?index-url"
)
MACHINE_PATHS = re.compile(r"(?<![\w.$}/])/(?:home/\w+|Users/\w+|root/\.\w+|work/(?:main|shared))\b")


def text_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every text file that belongs to the repository, not to a tool that ran in it."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            if path.name not in IGNORED_FOLDERS and not path.name.endswith(("_cache", ".egg-info")):
                yield from text_files(path)
        elif path.is_file():
            content = path.read_bytes()
            if b"\0" not in content:
                yield path, content.decode("utf-8")


def files_with(pattern: re.Pattern[str], repository: Path) -> dict[str, str]:
    return {
        str(path.relative_to(repository)): match.group()
        for path, text in text_files(repository)
        if (match := pattern.search(text))
    }


def test_no_file_names_a_package_registry(repository: Path) -> None:
    assert files_with(REGISTRIES, repository) == {}


def test_no_file_holds_a_path_of_somebodys_machine(repository: Path) -> None:
    assert files_with(MACHINE_PATHS, repository) == {}


def test_test_folders_are_no_packages(repository: Path) -> None:
    """With pytest's importlib mode a file is known by its path, so two test files may have one name."""
    assert [str(path.relative_to(repository)) for path in (repository / "tests").rglob("__init__.py")] == []
