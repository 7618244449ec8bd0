"""S3 as moto serves it, with what real ones do wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from cacheagent.adapters.object_stores import DriverStores
from cachecore.errors import AccessDenied, CorruptTransfer, SourceChanged, SourceNotFound, SourceUnavailable
from cachecore.ports import Credentials, ObjectStore

CONTENT = bytes(range(256)) * 400


class QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class S3Server:
    """moto in a thread. `answer` may replace the status and the body of the next GETs of an object."""

    def __init__(self) -> None:
        self._backend = create_backend_app("s3")
        self._server = make_server("127.0.0.1", 0, self._application, threaded=True, request_handler=QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="s3")
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.answers: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self.close()

    def close(self) -> None:
        self._server.server_close()

    def _application(self, environment: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        is_read = environment["REQUEST_METHOD"] == "GET" and environment.get("HTTP_RANGE")
        if is_read:
            self.headers.append({name: value for name, value in environment.items() if name.startswith("HTTP_")})
        if is_read and self.answers:
            status, body = self.answers.pop(0)
            if status == "drop range":
                del environment["HTTP_RANGE"]
            else:
                start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
                return [body.encode()]
        answer: Iterable[bytes] = self._backend(environment, start_response)
        return answer


@pytest.fixture
def s3() -> Iterator[S3Server]:
    server = S3Server()
    server.start()
    client = boto3.client(
        "s3", endpoint_url=server.url, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )
    client.create_bucket(Bucket="models")
    for key, content in {
        "iris/weights.bin": CONTENT,
        "iris/sub/ünï code+%.json": b"{}",
        "iris/": b"",
        "iris2/other": b"no",
    }.items():
        client.put_object(Bucket="models", Key=key, Body=content)
    client.close()
    yield server
    server.stop()


def run(s3: S3Server, scenario: Callable[[ObjectStore], Coroutine[Any, Any, Any]], uri: str = "s3://models") -> Any:
    credentials = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": s3.url}

    async def main() -> Any:
        stores = DriverStores({"AWS_DEFAULT_REGION": "us-east-1"})
        try:
            return await scenario(await stores.open(uri, Credentials(tuple(credentials.items()))))
        finally:
            await stores.close()

    return asyncio.run(main())


async def read_first(store: ObjectStore, offset: int = 100, length: int = 1000) -> bytes:
    weights = next(item for item in await store.list("s3://models/iris") if item.path == "weights.bin")
    return await store.read(weights, offset, length)


def test_a_prefix_is_a_folder_and_not_its_namesake(s3: S3Server) -> None:
    listed = run(s3, lambda store: store.list("s3://models/iris"))
    assert {item.path: item.size_bytes for item in listed if item.path} == {
        "weights.bin": len(CONTENT),
        "sub/ünï code+%.json": 2,
    }
    assert all(item.etag for item in listed)


def test_a_uri_may_name_one_object(s3: S3Server) -> None:
    (item,) = run(s3, lambda store: store.list("s3://models/iris/weights.bin"))
    assert (item.path, item.size_bytes) == ("weights.bin", len(CONTENT))


@pytest.mark.parametrize("uri", ["s3://models/nothing", "s3://nowhere/iris", "s3://nowhere"])
def test_what_is_not_there_is_said(s3: S3Server, uri: str) -> None:
    with pytest.raises(SourceNotFound, match=uri):
        run(s3, lambda store: store.list(uri))


def test_a_range_is_read_of_the_listed_version(s3: S3Server) -> None:
    assert run(s3, read_first) == CONTENT[100:1100]
    assert s3.headers[-1]["HTTP_IF_MATCH"].strip('"')


def test_a_name_with_strange_characters_is_read(s3: S3Server) -> None:
    async def scenario(store: ObjectStore) -> bytes:
        item = next(item for item in await store.list("s3://models/iris") if item.path.endswith("json"))
        return await store.read(item, 0, 2)

    assert run(s3, scenario) == b"{}"


def test_an_object_that_changed_is_noticed(s3: S3Server) -> None:
    async def scenario(store: ObjectStore) -> None:
        weights = next(item for item in await store.list("s3://models/iris") if item.path == "weights.bin")
        client = boto3.client(
            "s3", endpoint_url=s3.url, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
        )
        client.put_object(Bucket="models", Key="iris/weights.bin", Body=CONTENT[::-1])
        client.close()
        await store.read(weights, 0, 10)

    with pytest.raises(SourceChanged):
        run(s3, scenario)


@pytest.mark.parametrize(
    "status, code, error",
    [
        ("503 Slow Down", "SlowDown", SourceUnavailable),
        ("500 Oops", "InternalError", SourceUnavailable),
        ("403 Forbidden", "ExpiredToken", AccessDenied),
        ("403 Forbidden", "SignatureDoesNotMatch", AccessDenied),
        ("404 Not Found", "NoSuchKey", SourceNotFound),
        ("412 Precondition Failed", "PreconditionFailed", SourceChanged),
        ("416 Range", "InvalidRange", SourceChanged),
    ],
)
def test_an_error_is_one_of_ours(s3: S3Server, status: str, code: str, error: type[Exception]) -> None:
    body = f"<Error><Code>{code}</Code><Message>secret b</Message></Error>"
    s3.answers = [(status, body)] * 10
    with pytest.raises(error) as caught:
        run(s3, read_first)
    assert "secret b" not in str(caught.value)


def test_the_whole_object_instead_of_a_range_is_refused(s3: S3Server) -> None:
    s3.answers = [("drop range", "")]
    with pytest.raises(CorruptTransfer, match="the whole object"):
        run(s3, read_first)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    absent = S3Server()
    absent.close()
    with pytest.raises(SourceUnavailable):
        run(absent, lambda store: store.list("s3://models/iris"))


def test_without_credentials_it_is_said(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")

    async def main() -> None:
        stores = DriverStores({"AWS_ENDPOINT_URL": s3.url, "AWS_DEFAULT_REGION": "us-east-1"})
        try:
            store = await stores.open("s3://models/iris", Credentials())
            await store.list("s3://models/iris")
        finally:
            await stores.close()

    with pytest.raises(AccessDenied, match="no credentials"):
        asyncio.run(main())
