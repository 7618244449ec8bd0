"""The client of the API server: credentials."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import msgspec
import pytest

from cachecore.adapters.kube import connect
from cachecore.errors import (
    InvalidInput,
)
from cachecore.testing.scripted_api import write_kubeconfig


@pytest.mark.parametrize("content", ["", "{}", "- a\n", "a: [", "users: 5"])
def test_a_useless_kubeconfig_is_one_clear_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(InvalidInput, match="config is not usable: ") as caught:
        asyncio.run(connect(str(path), user_agent="tester/1"))
    assert "\n" not in str(caught.value)


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="absent: no such file"):
        asyncio.run(connect(str(tmp_path / "absent"), user_agent="tester/1"))


def test_outside_a_cluster_a_kubeconfig_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidInput, match="name a kubeconfig"):
        asyncio.run(connect("", user_agent="tester/1"))


def test_a_broken_certificate_is_one_clear_line(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, "https://127.0.0.1:1", "secret")
    content = msgspec.json.decode(path.read_bytes())
    content["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(b"no certificate").decode()
    path.write_bytes(msgspec.json.encode(content))
    with pytest.raises(InvalidInput, match="certificate"):
        asyncio.run(connect(str(path), user_agent="tester/1"))
