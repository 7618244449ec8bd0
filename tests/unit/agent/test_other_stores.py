"""Sources without a server: files of a mounted directory, and schemes without a driver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from cacheagent.adapters.object_stores import DriverStores
from cachecore.errors import (
    AccessDenied,
    HostileName,
    SourceChanged,
    SourceNotFound,
    UnsupportedScheme,
)
from cachecore.ports import Credentials, ObjectStore

CONTENT = bytes(range(256)) * 10


def run(uri: str, scenario: Callable[[ObjectStore], Coroutine[Any, Any, Any]], file_sources: str = "") -> Any:
    async def main() -> Any:
        stores = DriverStores({}, file_sources=file_sources)
        try:
            return await scenario(await stores.open(uri, Credentials()))
        finally:
            await stores.close()

    return asyncio.run(main())


async def nothing(store: ObjectStore) -> None:
    del store


@pytest.mark.parametrize("uri", ["ftp://models/iris", "hdfs://models/iris"])
def test_a_scheme_without_driver_names_those_there_are(uri: str) -> None:
    with pytest.raises(UnsupportedScheme, match=r"there is one for .*file, .*https"):
        run(uri, nothing)


@pytest.mark.parametrize(
    "uri, missing, extra",
    [
        ("s3://models/iris", "s3fs", "s3"),
        ("gs://models/iris", "gcsfs", "gs"),
        ("abfs://models/iris", "azure.storage.blob", "abfs"),
        ("https://account.blob.core.windows.net/models/iris", "azure.storage.blob", "abfs"),
    ],
)
def test_a_driver_that_is_missing_names_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, uri: str, missing: str, extra: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnsupportedScheme, match=rf"{missing}: install localmodel-agent\[{extra}\]"):
        run(uri, nothing)


def test_a_uri_without_scheme_is_refused() -> None:
    with pytest.raises(UnsupportedScheme, match="has no scheme"):
        run("models/iris", nothing)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "sources" / "my model"
    (folder / "sub").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(CONTENT)
    (folder / "sub" / "config.json").write_bytes(b"{}")
    return folder


def test_files_are_listed_and_read(model: Path) -> None:
    uri = model.as_uri()

    async def scenario(store: ObjectStore) -> bytes:
        listed = await store.list(uri)
        assert [(item.path, item.size_bytes) for item in listed] == [("sub/config.json", 2), ("weights.bin", 2560)]
        return await store.read(listed[1], 100, 50)

    assert run(uri, scenario, str(model.parent)) == CONTENT[100:150]


def test_files_are_off_unless_a_directory_is_named(model: Path) -> None:
    with pytest.raises(AccessDenied, match="--file-sources"):
        run(model.as_uri(), lambda store: store.list(model.as_uri()))


@pytest.mark.parametrize("escape", ["/../../etc", "/%2e%2e/%2e%2e/etc"])
def test_no_uri_leaves_the_named_directory(model: Path, escape: str) -> None:
    uri = f"{model.parent.as_uri()}{escape}"
    with pytest.raises(AccessDenied):
        run(uri, lambda store: store.list(uri), str(model.parent))


def test_a_symlink_in_a_model_is_hostile(model: Path) -> None:
    (model / "link").symlink_to("/etc/passwd")
    with pytest.raises(HostileName):
        run(model.as_uri(), lambda store: store.list(model.as_uri()), str(model.parent))


def test_a_file_that_changed_is_noticed(model: Path) -> None:
    async def scenario(store: ObjectStore) -> None:
        listed = await store.list(model.as_uri())
        (model / "weights.bin").write_bytes(CONTENT + b"more")
        await store.read(listed[1], 0, 10)

    with pytest.raises(SourceChanged):
        run(model.as_uri(), scenario, str(model.parent))


def test_an_empty_directory_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        run(tmp_path.as_uri(), lambda store: store.list(tmp_path.as_uri()), str(tmp_path))
