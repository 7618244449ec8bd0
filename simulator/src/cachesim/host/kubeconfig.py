"""Kubeconfig files: one for the person, one for each service."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import yaml

from cachecore.errors import InvalidInput

_NAME = "localmodel"


def write_kubeconfig(path: Path, *, url: str, authority: bytes, user: str, token: str) -> None:
    """Readable by its owner alone, as it holds a token. `authority` is the PEM of who signed the server's certificate.

    Raises InvalidInput when it can't be written, or is already there and has other clusters in it.
    """
    _refuse_foreign(path)
    cluster = {"server": url, "certificate-authority-data": base64.b64encode(authority).decode()}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _NAME, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": user}}],
        "current-context": _NAME,
    }
    text = yaml.safe_dump(content, sort_keys=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except OSError as error:
        raise InvalidInput(f"cannot write the kubeconfig {path}: {error.strerror}") from error


def _refuse_foreign(path: Path) -> None:
    """A file of an earlier local cluster is replaced; anybody else's may be all that he has."""
    try:
        content = yaml.safe_load(path.read_text())
    except OSError:
        return
    except (yaml.YAMLError, UnicodeDecodeError):
        content = {"contexts": None}
    if not content:
        return
    contexts = content.get("contexts") if isinstance(content, dict) else None
    names = [entry.get("name") for entry in contexts or [None] if isinstance(entry, dict)]
    if names != [_NAME]:
        raise InvalidInput(f"{path} is there already, and not of a local cluster: choose another --kubeconfig")
