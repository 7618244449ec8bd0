"""One small, wrong change to a production module, as a file: what to find in its source, and what to put there.

    what: The manifest is written after the folder has its name.
    module: cacheagent.publishing
    replace: |2-
          await write_manifest(disk, whole)
    by: |2-
          pass
    invariants: [S4]

`|2-` keeps the indentation of what is replaced.
"""

from __future__ import annotations

import pathlib
from typing import Annotated

import msgspec
import yaml

from cachecore.errors import InvalidInput

Invariant = Annotated[str, msgspec.Meta(pattern=r"^(S([1-9]|10)|L[1-7]|crash)$")]
PRODUCTION = ("cachecore", "cacheagent", "cachemanager", "cachewebhook")


class WrongChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A mistake, the invariants of which one should find it, and the campaign that should have found it by then.

    `scenario` lies beside the change; without one it is the reference story. `faults` is `random`, a plan's file,
    or `none`: those of the scenario alone. `plans` is how many plans the campaign has, from `seed` on.
    """

    what: str
    module: Annotated[str, msgspec.Meta(pattern=rf"^({'|'.join(PRODUCTION)})(\.\w+)+$")]
    replace: Annotated[str, msgspec.Meta(min_length=1)]
    by: str
    invariants: Annotated[tuple[Invariant, ...], msgspec.Meta(min_length=1)]
    scenario: str = ""
    faults: str = "random"
    seed: int = 1
    plans: Annotated[int, msgspec.Meta(ge=1)] = 300

    def apply(self, source: str) -> str:
        """The source with the mistake in it. Raises `InvalidInput` when its place is not there, or not clear."""
        occurrences = source.count(self.replace)
        if occurrences != 1:
            raise InvalidInput(
                f"{self.module} has the text of `replace` {occurrences} times, which must be there once: "
                f"{self.replace.strip().splitlines()[0]!r}"
            )
        if self.replace == self.by:
            raise InvalidInput(f"{self.module}: `by` is the same text as `replace`")
        return source.replace(self.replace, self.by)


def load_change(path: pathlib.Path) -> WrongChange:
    """Read one change. Raises `InvalidInput` with the file and what is wrong."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        raise InvalidInput(f"{path}: not YAML: {words}") from error
    try:
        return msgspec.convert(content, WrongChange)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{path}: {error}") from error
