"""The names of everything below a store's root, and which names of objects may be used there.

    <root>/
      <key>/models/<key>/...          a view with one published model
      models/<key>/...                a copy that KServe's own agent left behind
      .localmodel/store               the store's identity
      .localmodel/ledger              when each model arrived, was used, was evicted
      .localmodel/manifests/<key>     what was fetched
      .localmodel/staging/<key>/      files/ as they arrive, and a journal/ of the parts that are whole
      .localmodel/trash/<name>        evicted, not yet unlinked

All paths are relative to the root, with `/`, as the `Disk` port takes them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from cachecore.errors import HostileName

PRIVATE_DIRECTORY = ".localmodel"
STORE_ID_PATH = f"{PRIVATE_DIRECTORY}/store"
LEDGER_PATH = f"{PRIVATE_DIRECTORY}/ledger"
MANIFESTS_PATH = f"{PRIVATE_DIRECTORY}/manifests"
STAGING_PATH = f"{PRIVATE_DIRECTORY}/staging"
TRASH_PATH = f"{PRIVATE_DIRECTORY}/trash"
LEGACY_PATH = "models"

# Linux' NAME_MAX, and a length that leaves room for any root below PATH_MAX.
NAME_BYTES_MAX = 255
OBJECT_PATH_BYTES_MAX = 2048

_KEY = re.compile(r"[0-9a-f]{16}")


def is_key(text: str) -> bool:
    """Whether a text is a storage key. What pods and disks say is checked before it becomes part of a path."""
    return _KEY.fullmatch(text) is not None


def view_path(key: str) -> str:
    """What a PersistentVolume points at: a namespace sees this one model and nobody else's."""
    return key


def view_models_path(key: str) -> str:
    """The folder inside the view that is there, empty, before the model is."""
    return f"{key}/models"


def published_path(key: str) -> str:
    return f"{key}/models/{key}"


def legacy_path(key: str) -> str:
    """Where KServe's own agent keeps a copy."""
    return f"{LEGACY_PATH}/{key}"


def manifest_path(key: str) -> str:
    return f"{MANIFESTS_PATH}/{key}"


def staging_path(key: str) -> str:
    return f"{STAGING_PATH}/{key}"


def staging_files_path(key: str) -> str:
    """The folder that becomes the published one."""
    return f"{STAGING_PATH}/{key}/files"


def staging_journal_path(key: str) -> str:
    return f"{STAGING_PATH}/{key}/journal"


def trash_path(name: str) -> str:
    return f"{TRASH_PATH}/{name}"


def locate(path: str) -> tuple[str, str] | None:
    """The root and the key of an absolute path to a view or a published copy; None when it is neither."""
    parts = path.rstrip("/").split("/")
    if len(parts) >= 3 and parts[-2] == "models" and parts[-1] == parts[-3] and is_key(parts[-1]):
        return "/".join(parts[:-3]) or "/", parts[-1]
    if is_key(parts[-1]) and parts[-2:-1] != ["models"]:
        return "/".join(parts[:-1]) or "/", parts[-1]
    return None


def check_object_path(path: str) -> None:
    """Refuse a name that would leave the model's folder or that the disk can't hold. Raises `HostileName`."""
    problem = _problem_with(path)
    if problem:
        raise HostileName(f"the source holds an object named {_shown(path)}, which {problem}; nothing was downloaded")


def check_object_paths(paths: Iterable[str]) -> None:
    """Refuse a listing whose names are hostile alone or together. Raises `HostileName`."""
    spelt: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        check_object_path(path)
        folded = unicodedata.normalize("NFC", path).casefold()
        if folded in spelt:
            raise HostileName(
                f"the source holds {_shown(spelt[folded])} and {_shown(path)}, which differ only in case or accents; "
                "nothing was downloaded"
            )
        spelt[folded] = path
        parents = folded.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            folders.setdefault("/".join(parents[:depth]), path)
    for folded, path in spelt.items():
        if folded in folders:
            raise HostileName(
                f"the source holds {_shown(path)} both as an object and as a folder of {_shown(folders[folded])}; "
                "nothing was downloaded"
            )


def _problem_with(path: str) -> str:
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode"
    components = path.split("/")
    checks = (
        (not path, "is empty"),
        ("\0" in path, "contains a NUL"),
        ("\\" in path, "contains a backslash"),
        (any(ord(character) < 32 or ord(character) == 127 for character in path), "contains a control character"),
        (path.startswith("/"), "is absolute"),
        (len(encoded) > OBJECT_PATH_BYTES_MAX, f"is longer than {OBJECT_PATH_BYTES_MAX} bytes"),
        ("" in components, "has an empty component"),
        ("." in components or ".." in components, "has a component . or .."),
        (PRIVATE_DIRECTORY in components, f"uses the reserved name {PRIVATE_DIRECTORY}"),
        (
            any(len(component.encode(errors="replace")) > NAME_BYTES_MAX for component in components),
            f"has a component longer than {NAME_BYTES_MAX} bytes",
        ),
    )
    return next((problem for holds, problem in checks if holds), "")


def _shown(path: str) -> str:
    """A name as it may stand in a status: quoted, escaped, and never endless."""
    shown = ascii(path)
    return shown if len(shown) <= 120 else f"{shown[:100]}...({len(path)} characters)"
