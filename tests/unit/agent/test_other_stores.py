"""Sources other than S3: files of a mounted directory, files of the web, and schemes without a driver."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from cacheagent.adapters.object_stores import DriverStores
from cachecore.errors import (
    AccessDenied,
    HostileName,
    SourceChanged,
    SourceNotFound,
    SourceUnavailable,
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


class Web(http.server.BaseHTTPRequestHandler):
    """One file that changes its version when told to, and a server that is sometimes overloaded."""

    etag = '"1"'
    status = 0

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        expected = self.headers.get("If-Match")
        status = type(self).status or (200 if self.path == "/weights.bin" else 404)
        if expected not in (None, type(self).etag):
            status = 412
        content, shown = CONTENT, ""
        asked = self.headers.get("Range")
        if status == 200 and asked:
            first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
            content, status, shown = CONTENT[first : last + 1], 206, f"bytes {first}-{last}/{len(CONTENT)}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)) if status < 300 else "0")
        self.send_header("ETag", type(self).etag)
        self.send_header("Accept-Ranges", "bytes")
        if shown:
            self.send_header("Content-Range", shown)
        self.end_headers()
        if body and status < 300:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    Web.etag, Web.status = '"1"', 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_of_the_web_is_one_object(web: str) -> None:
    async def scenario(store: ObjectStore) -> bytes:
        (item,) = await store.list(f"{web}/weights.bin")
        assert (item.path, item.size_bytes, item.etag) == ("weights.bin", len(CONTENT), "1")
        return await store.read(item, 100, 50)

    assert run(web, scenario) == CONTENT[100:150]


def test_a_file_of_the_web_that_is_not_there_is_said(web: str) -> None:
    with pytest.raises(SourceNotFound):
        run(web, lambda store: store.list(f"{web}/nothing"))


def test_a_file_of_the_web_that_changed_is_noticed(web: str) -> None:
    async def scenario(store: ObjectStore) -> None:
        (item,) = await store.list(f"{web}/weights.bin")
        Web.etag = '"2"'
        await store.read(item, 0, 10)

    with pytest.raises(SourceChanged):
        run(web, scenario)


@pytest.mark.parametrize("status, error", [(503, SourceUnavailable), (403, AccessDenied), (404, SourceNotFound)])
def test_an_answer_of_the_web_is_one_of_our_errors(web: str, status: int, error: type[Exception]) -> None:
    async def scenario(store: ObjectStore) -> None:
        (item,) = await store.list(f"{web}/weights.bin")
        Web.status = status
        await store.read(item, 0, 10)

    with pytest.raises(error):
        run(web, scenario)
