"""Files that were unlinked, as long as a loss of power may bring them back: hard links beside the disk."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol


class _Grave(NamedTuple):
    path: str
    node: object
    place: pathlib.Path


class Tree(Protocol):
    """The disk that they come back to."""

    directory: pathlib.Path

    def find(self, path: str) -> Any: ...


class Graves:
    """`folder` lies on the file system of the disk, and not on the disk."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._graves: list[_Grave] = []
        self._made = 0

    def keep(self, real: pathlib.Path, path: str, node: object, unlinked: Iterable[tuple[str, object]]) -> None:
        """Before `real` is unlinked. What is not among `unlinked` any more can't come back: it is given up."""
        still = [known for _, known in unlinked]
        for grave in self._graves:
            if not any(grave.node is known for known in still):
                remove(grave.place)
        self._graves = [grave for grave in self._graves if any(grave.node is known for known in still)]
        if not os.path.lexists(real):
            return
        self._folder.mkdir(exist_ok=True)
        self._made += 1
        place = self._folder / str(self._made)
        if real.is_dir():
            shutil.copytree(real, place, symlinks=True, copy_function=os.link)
        else:
            os.link(real, place, follow_symlinks=False)
        self._graves.append(_Grave(path, node, place))

    def give_back(self, tree: Tree) -> None:
        """What the tree in memory has again; the rest is gone for good."""
        for grave in self._graves:
            if tree.find(grave.path) is grave.node:
                grave.place.rename(tree.directory / grave.path)
            else:
                remove(grave.place)
        self._graves.clear()


def remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
