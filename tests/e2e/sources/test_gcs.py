"""Google Cloud Storage through the agent's own adapters: its JSON API and its server of tokens, as far as models go."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import random
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from awscrt.checksums import crc32c
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.auth.exceptions import DefaultCredentialsError

from cachecore.errors import (
    AccessDenied,
    CorruptTransfer,
    SourceChanged,
    SourceNotFound,
    SourceThrottled,
    SourceUnavailable,
)
from cachecore.ports import ChecksumAlgorithm, ObjectInfo, ObjectStore
from cachesim.localcluster.testing_sources import SourceNode
from cachesim.localcluster.testing_web import Asked, Reply, WebServer, ranged

CONTENT = random.Random(7).randbytes(200_000)
CHANGED = CONTENT[::-1]
STRANGE = "sub/ünï code+%2F &?#=@.json"
URI = "gs://models/iris"
KEY = "GOOGLE_APPLICATION_CREDENTIALS_JSON"


class Buckets:
    """A site with the bucket `models`. Each `put` makes a new generation; `token` is wanted, if there is one."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.told: dict[str, dict[str, str]] = {}
        self.replies: list[Reply | None] = []
        self.token = ""
        self.page_objects = 1000

    def put(self, name: str, content: bytes, **told: str) -> None:
        self.objects[name] = (content, self.objects.get(name, (b"", 1000))[1] + 1)
        self.told[name] = told

    def answer(self, asked: Asked) -> Reply:
        reply = self.replies.pop(0) if self.replies else None
        if reply is not None:
            return reply
        if self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
            return Reply(status=401, body=b'{"error": {"code": 401, "message": "Invalid Credentials"}}')
        path, _, query = asked.path.partition("?")
        parameters = dict(urllib.parse.parse_qsl(query))
        if path == "/storage/v1/b/models/o":
            return self._page(parameters)
        name = urllib.parse.unquote(path.removeprefix("/storage/v1/b/models/o/"))
        if name not in self.objects or path.count("/") > 6 or parameters["alt"] != "media":
            # A slash of a name that isn't quoted leads elsewhere.
            return Reply(status=404)
        content, generation = self.objects[name]
        if parameters["ifGenerationMatch"] != str(generation):
            return Reply(status=412)
        return ranged(asked, content, {"X-Goog-Generation": str(generation), "ETag": '"CJjQ="'})

    def _page(self, asked: dict[str, str]) -> Reply:
        names = sorted(name for name in self.objects if name.startswith(asked.get("prefix", "")))
        after = [name for name in names if name > asked.get("pageToken", "")]
        shown = after[: min(self.page_objects, int(asked["maxResults"]))]
        page: dict[str, Any] = {"kind": "storage#objects"}
        if shown:
            page["items"] = [self._item(name) for name in shown]
        if len(shown) < len(after):
            page["nextPageToken"] = shown[-1]
        return Reply(body=json.dumps(page).encode())

    def _item(self, name: str) -> dict[str, str]:
        content, generation = self.objects[name]
        checksum = base64.b64encode(crc32c(content).to_bytes(4, "big")).decode()
        item = {"name": name, "size": str(len(content)), "generation": str(generation), "crc32c": checksum}
        item.update(self.told[name])
        return {field: value for field, value in item.items() if value}


class TokenServer(http.server.ThreadingHTTPServer):
    """Gives whatever token the buckets want now, to whoever comes with an assertion; `status` refuses."""

    def __init__(self, buckets: Buckets) -> None:
        super().__init__(("127.0.0.1", 0), _TokenHandler)
        self.buckets = buckets
        self.status = 200
        self.given: list[str] = []


class _TokenHandler(http.server.BaseHTTPRequestHandler):
    server: TokenServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.status if b"assertion=" in body else 400
        answer = {"access_token": self.server.buckets.token, "expires_in": 3600, "token_type": "Bearer"}
        self.server.given.append(self.server.buckets.token)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer if status == 200 else {"error": "invalid_grant"}).encode())

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def buckets() -> Buckets:
    buckets = Buckets()
    buckets.put("iris/weights.bin", CONTENT)
    buckets.put(f"iris/{STRANGE}", b"{}")
    buckets.put("iris/", b"")
    buckets.put("iris2/other", b"no")
    return buckets


@pytest.fixture
def gcs(buckets: Buckets, node: SourceNode) -> Iterator[WebServer]:
    """For a node without credentials."""
    with WebServer(buckets) as server:
        node.environment = {"GS_ENDPOINT_URL": server.url, "GS_ANONYMOUS": "true"}
        yield server


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def tokens(buckets: Buckets, gcs: WebServer, node: SourceNode, private_key: str) -> Iterator[TokenServer]:
    """For a node with the key of a service account, without which the buckets show nothing."""
    buckets.token = "ya29.first"
    with TokenServer(buckets) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="tokens")
        thread.start()
        node.credentials = {KEY: key_file(private_key, f"http://127.0.0.1:{server.server_port}/token")}
        yield server
        server.shutdown()
        thread.join()


def key_file(private_key: str, token_uri: str) -> str:
    account = {"type": "service_account", "client_email": "models@project.iam.gserviceaccount.com"}
    return json.dumps({**account, "private_key": private_key, "token_uri": token_uri})


def listed(node: SourceNode, uri: str = URI) -> list[ObjectInfo]:
    found: list[ObjectInfo] = node.ask(uri, lambda store: store.list(uri))
    return found


async def read_weights(store: ObjectStore) -> bytes:
    (weights,) = await store.list(f"{URI}/weights.bin")
    return await store.read(weights, 100, 1000)


def test_a_prefix_is_a_folder_and_not_its_namesake(node: SourceNode, gcs: WebServer) -> None:
    assert {item.path: item.size_bytes for item in listed(node) if item.path} == {"weights.bin": 200_000, STRANGE: 2}


def test_a_bucket_is_a_model_as_well(node: SourceNode, gcs: WebServer) -> None:
    assert "iris/weights.bin" in [item.path for item in listed(node, "gs://models")]


def test_a_listing_of_many_pages_is_whole(node: SourceNode, gcs: WebServer, buckets: Buckets) -> None:
    buckets.page_objects = 1
    assert len(listed(node)) == 3


def test_the_generation_is_the_version_and_the_checksum_is_known(node: SourceNode, gcs: WebServer) -> None:
    (weights,) = listed(node, f"{URI}/weights.bin")
    assert (weights.path, weights.etag) == ("weights.bin", "1001")
    assert weights.checksum is not None
    assert weights.checksum.algorithm is ChecksumAlgorithm.CRC32C
    assert weights.checksum.value == f"{crc32c(CONTENT):08x}"


def test_without_a_crc_the_md5_counts(node: SourceNode, gcs: WebServer, buckets: Buckets) -> None:
    md5 = hashlib.md5(CONTENT, usedforsecurity=False)
    buckets.put("iris/weights.bin", CONTENT, crc32c="", md5Hash=base64.b64encode(md5.digest()).decode())
    (weights,) = listed(node, f"{URI}/weights.bin")
    assert weights.checksum is not None
    assert (weights.checksum.algorithm, weights.checksum.value) == (ChecksumAlgorithm.MD5, md5.hexdigest())


@pytest.mark.parametrize(
    "uri, message",
    [
        (f"{URI}/nothing", "there is no object below"),
        ("gs://models/iri", "there is no object below"),
        ("gs://nowhere/iris", "there is no bucket nowhere"),
        ("gs:///iris", "names no bucket"),
    ],
)
def test_what_is_not_there_is_said(node: SourceNode, gcs: WebServer, uri: str, message: str) -> None:
    with pytest.raises(SourceNotFound, match=message):
        listed(node, uri)


def test_a_model_comes_in_parts_whatever_its_names(node: SourceNode, gcs: WebServer, tokens: TokenServer) -> None:
    node.fetch(URI, connections=4)
    assert node.published(URI) == {"weights.bin": CONTENT, STRANGE: b"{}"}
    ranges = [asked.headers["range"] for asked in gcs.asked if "range" in asked.headers]
    assert len(ranges) == 4
    assert len(tokens.given) == 1


def test_bytes_that_are_not_those_of_the_checksum_are_found(node: SourceNode, gcs: WebServer, buckets: Buckets) -> None:
    buckets.put("iris/weights.bin", CONTENT, crc32c="AAAAAA==")
    with pytest.raises(CorruptTransfer, match="crc32c"):
        node.fetch(URI)


def test_an_object_that_changed_is_listed_again(node: SourceNode, gcs: WebServer, buckets: Buckets) -> None:
    node.fetch(URI, after_listing=lambda: buckets.put("iris/weights.bin", CHANGED))
    assert node.published(URI)["weights.bin"] == CHANGED


def test_another_generation_is_a_change(node: SourceNode, gcs: WebServer, buckets: Buckets) -> None:
    async def scenario(store: ObjectStore) -> None:
        (weights,) = await store.list(f"{URI}/weights.bin")
        buckets.put("iris/weights.bin", CHANGED)
        await store.read(weights, 0, 10)

    with pytest.raises(SourceChanged):
        node.ask(URI, scenario)


def test_an_object_that_has_gone_is_missing(node: SourceNode, gcs: WebServer, buckets: Buckets) -> None:
    with pytest.raises(SourceNotFound):
        node.fetch(URI, after_listing=buckets.objects.clear)


@pytest.mark.parametrize(
    "status, error",
    [
        (401, AccessDenied),
        (403, AccessDenied),
        (503, SourceUnavailable),
        (500, SourceUnavailable),
        (404, SourceNotFound),
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_an_error_is_one_of_ours(
    node: SourceNode, gcs: WebServer, buckets: Buckets, first: int, status: int, error: type[Exception]
) -> None:
    buckets.put("iris/weights.bin", CONTENT)
    buckets.replies = [None] * (first * 2) + [Reply(status=status, body=b'{"error": {"message": "secret"}}')]
    with pytest.raises(error) as caught:
        node.ask(URI, read_weights)
    assert "secret" not in str(caught.value)


def test_a_throttled_request_says_when_to_come_back(node: SourceNode, gcs: WebServer, buckets: Buckets) -> None:
    buckets.replies = [Reply(status=429, headers={"Retry-After": "7"})]
    with pytest.raises(SourceThrottled) as caught:
        listed(node)
    assert caught.value.retry_after_seconds == 7


def test_a_token_that_expires_in_the_middle_is_renewed(node: SourceNode, tokens: TokenServer, buckets: Buckets) -> None:
    def expire() -> None:
        buckets.token = "ya29.second"

    node.fetch(URI, connections=4, after_listing=expire)
    assert node.published(URI)["weights.bin"] == CONTENT
    assert tokens.given == ["ya29.first", "ya29.second"]


def test_a_token_that_expires_before_a_listing_is_renewed(
    node: SourceNode, tokens: TokenServer, buckets: Buckets
) -> None:
    async def scenario(store: ObjectStore) -> None:
        await store.list(URI)
        buckets.token = "ya29.second"
        await store.list(URI)

    node.ask(URI, scenario)
    assert tokens.given == ["ya29.first", "ya29.second"]


def test_a_key_that_is_refused_is_said(node: SourceNode, tokens: TokenServer) -> None:
    tokens.status = 400
    with pytest.raises(AccessDenied, match=KEY):
        listed(node)


def test_a_server_of_tokens_that_is_away_is_no_wrong_key(node: SourceNode, gcs: WebServer, private_key: str) -> None:
    node.credentials = {KEY: key_file(private_key, "http://127.0.0.1:9/token")}
    with pytest.raises(SourceUnavailable, match="server of tokens"):
        listed(node)


@pytest.mark.parametrize("key", ["s3cret", '{"type": "external_account"}', '{"type": "service_account"}', "[]"])
def test_a_key_that_is_none_is_said_and_not_shown(node: SourceNode, gcs: WebServer, key: str) -> None:
    node.credentials = {KEY: key}
    with pytest.raises(AccessDenied, match=KEY) as caught:
        listed(node)
    assert "s3cret" not in str(caught.value)


def test_what_is_public_needs_no_credentials(node: SourceNode, gcs: WebServer) -> None:
    node.fetch(URI)
    assert [asked for asked in gcs.asked if "authorization" in asked.headers] == []


def test_what_is_not_public_is_said_to_need_some(node: SourceNode, gcs: WebServer, buckets: Buckets) -> None:
    buckets.token = "ya29.first"
    with pytest.raises(AccessDenied, match="can't be read without credentials"):
        listed(node)


def test_the_agents_own_key_is_for_models_that_name_none(node: SourceNode, tokens: TokenServer) -> None:
    node.environment.update(node.credentials)
    del node.environment["GS_ANONYMOUS"]
    node.credentials = {}
    assert listed(node)


def test_the_agents_own_key_may_be_a_file(
    node: SourceNode, tokens: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key.json"
    file.write_text(node.credentials.pop(KEY))
    use_google_default(node, monkeypatch, file)
    assert listed(node)


def test_a_key_file_that_is_missing_is_said(
    node: SourceNode, gcs: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_google_default(node, monkeypatch, tmp_path / "key.json")
    with pytest.raises(AccessDenied, match="GOOGLE_APPLICATION_CREDENTIALS names"):
        listed(node)


def test_an_agent_that_has_no_key_reads_what_is_public(
    node: SourceNode, gcs: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_nothing(**options: object) -> None:
        raise DefaultCredentialsError

    # It would ask the machine's cloud, which is no loopback.
    monkeypatch.setattr("google.auth.default", find_nothing)
    del node.environment["GS_ANONYMOUS"]
    assert listed(node)


def use_google_default(node: SourceNode, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """As if the agent ran with this environment; Google's library looks there itself."""
    del node.environment["GS_ANONYMOUS"]
    node.environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(file)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))


def test_the_agents_own_key_goes_to_no_server_of_others(node: SourceNode, gcs: WebServer, tokens: TokenServer) -> None:
    node.environment = node.credentials
    node.credentials = {"GS_ENDPOINT_URL": gcs.url}
    with pytest.raises(AccessDenied):
        listed(node)
    assert tokens.given == []


def test_the_project_of_a_requester_who_pays_is_named(node: SourceNode, gcs: WebServer) -> None:
    node.credentials = {"GS_USER_PROJECT": "payer"}
    node.fetch(URI)
    assert all("userProject=payer" in asked.path for asked in gcs.asked)


def test_an_object_that_is_stored_compressed_is_refused(node: SourceNode, gcs: WebServer, buckets: Buckets) -> None:
    buckets.put("iris/config.json", b"\x1f\x8b", contentEncoding="gzip")
    with pytest.raises(SourceUnavailable, match="stored compressed"):
        listed(node)
