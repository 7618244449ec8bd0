"""The CustomResourceDefinitions of this project, as `kubectl apply -f crds/` would send them."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import yaml

from cachecore.errors import InvalidInput

JsonObject = dict[str, Any]

# The parser in C takes a tenth of the time; not every build of PyYAML has it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PACKAGED = pathlib.Path(__file__).parent / "crds"
_IN_CHECKOUT = pathlib.Path(__file__).parents[3] / "crds"


def definitions_directory() -> pathlib.Path:
    """Where the files are: in the wheel, or in the checkout that an editable install points to.

    Raises `InvalidInput` when they are in neither.
    """
    for directory in (_PACKAGED, _IN_CHECKOUT):
        if directory.is_dir():
            return directory
    raise InvalidInput(f"the CRDs are not in {_PACKAGED} nor in {_IN_CHECKOUT}: install the package again")


def load_definitions() -> list[JsonObject]:
    """Each CRD as a JSON object, in order of file name. They are read once and shared: never change one."""
    paths = sorted(definitions_directory().glob("serving.kserve.io_*.yaml"))
    return [_load(path) for path in paths]


@functools.cache
def _load(path: pathlib.Path) -> JsonObject:
    definition: JsonObject = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a safe loader
    return definition
