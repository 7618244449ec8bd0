"""The cgroups of a node, below which its kubelet makes those of its pods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from realcluster.requirements import CGROUPS


def hierarchies() -> Iterator[Path]:
    """Each mounted hierarchy once; some have a second name, by a link."""
    for path in sorted(CGROUPS.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield path


def make_cgroup(name: str, node: str) -> None:
    """`/NAME/NODE` in every hierarchy."""
    for hierarchy in hierarchies():
        for path in (hierarchy / name, hierarchy / name / node):
            path.mkdir(exist_ok=True)
            if hierarchy.name == "cpuset":
                # Empty at first, and then no process may enter.
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (path / file).write_text((path.parent / file).read_text())
