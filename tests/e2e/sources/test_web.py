"""Files of the web, from servers of every kind, through the agent's own adapters."""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachecore.errors import (
    AccessDenied,
    CorruptTransfer,
    SourceChanged,
    SourceNotFound,
    SourceThrottled,
    SourceUnavailable,
    UnsupportedArchive,
)
from cachecore.ports import ChecksumAlgorithm, ObjectStore
from cachesim.host.certificates import ServerCertificate, make_certificate
from cachesim.localcluster.testing_sources import SourceNode
from cachesim.localcluster.testing_web import Asked, Reply, WebFiles, WebServer

CONTENT = random.Random(5).randbytes(200_000)
CHANGED = CONTENT[::-1]
PATH = "/models/weights.bin"
HEADERS = '{"Authorization": "Bearer t0ken", "X-Key": "k3y"}'
WANTED = {"authorization": "Bearer t0ken", "x-key": "k3y"}


@pytest.fixture
def site() -> WebFiles:
    return WebFiles({PATH: CONTENT})


@pytest.fixture
def web(site: WebFiles) -> Iterator[WebServer]:
    with WebServer(site) as server:
        yield server


@pytest.fixture
def uri(web: WebServer) -> str:
    return web.url + PATH


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    folder = tmp_path_factory.mktemp("tls")
    return make_certificate(folder, ("127.0.0.1",), now=datetime.datetime.now(datetime.UTC))


def ranges(web: WebServer) -> list[str]:
    """Those that were asked for, but for the first byte, which shows the size."""
    asked = [request.headers.get("range", "") for request in web.asked if request.method == "GET"]
    return [wanted for wanted in asked if wanted != "bytes=0-0"]


def test_a_url_is_one_file_and_comes_in_parts(node: SourceNode, web: WebServer, uri: str) -> None:
    node.fetch(uri, connections=4)
    assert node.published(uri) == {"weights.bin": CONTENT}
    assert sorted(ranges(web)) == [
        "bytes=0-65535",
        "bytes=131072-196607",
        "bytes=196608-199999",
        "bytes=65536-131071",
    ]


def test_every_part_is_pinned_to_the_etag(node: SourceNode, web: WebServer, uri: str) -> None:
    node.fetch(uri)
    etag = hashlib.sha1(CONTENT, usedforsecurity=False).hexdigest()
    assert [request.headers.get("if-match") for request in web.asked if request.method == "GET"][1:] == [
        f'"{etag}"'
    ] * 4


@pytest.mark.parametrize("pinning", ["weak", "date", ""])
def test_a_file_without_a_strong_etag_comes_too(node: SourceNode, site: WebFiles, uri: str, pinning: str) -> None:
    site.pinning = pinning
    node.fetch(uri)
    assert node.published(uri) == {"weights.bin": CONTENT}


@pytest.mark.parametrize("pinning", ["etag", "date"])
def test_a_file_that_changes_starts_over(node: SourceNode, site: WebFiles, uri: str, pinning: str) -> None:
    site.pinning = pinning

    def change() -> None:
        site.files[PATH] = CHANGED
        site.modified = "Wed, 04 Mar 2026 10:00:00 GMT"

    node.fetch(uri, after_listing=change)
    assert node.published(uri) == {"weights.bin": CHANGED}


def test_a_file_that_keeps_changing_is_said(node: SourceNode, site: WebFiles, uri: str) -> None:
    # Of each listing: the first byte, what is told of the whole, the first part.
    site.replies = [None, None, Reply(status=412)] * 3
    with pytest.raises(SourceChanged):
        node.fetch(uri)
    assert node.published(uri) == {}


def test_an_empty_file_is_a_file(node: SourceNode, site: WebFiles, uri: str) -> None:
    site.files[PATH] = b""
    node.fetch(uri)
    assert node.published(uri) == {"weights.bin": b""}


@pytest.mark.parametrize("lengths", [True, False])
def test_a_small_file_needs_no_ranges(node: SourceNode, site: WebFiles, uri: str, lengths: bool) -> None:
    site.ranges, site.lengths = False, lengths
    site.files[PATH] = CONTENT[:50_000]
    node.fetch(uri)
    assert node.published(uri) == {"weights.bin": CONTENT[:50_000]}


def test_a_file_that_grew_without_a_length_is_no_whole(node: SourceNode, site: WebFiles, uri: str) -> None:
    site.ranges = site.lengths = False
    site.pinning = ""
    site.files[PATH] = CONTENT[:50_000]
    with pytest.raises(CorruptTransfer, match="more bytes came"):
        node.fetch(uri, after_listing=lambda: site.files.update({PATH: CONTENT[:50_001]}))


def test_a_large_file_needs_ranges(node: SourceNode, site: WebFiles, uri: str) -> None:
    site.replies = [Reply(headers={"Content-Length": str(2**30)}, length=False)]
    with pytest.raises(SourceUnavailable, match=r"its 1073741824 bytes come in parts, and the server has no ranges"):
        node.fetch(uri)


def test_ranges_that_stop_are_noticed(node: SourceNode, site: WebFiles, uri: str) -> None:
    def stop() -> None:
        site.ranges = False

    with pytest.raises(CorruptTransfer, match="the whole object came"):
        node.fetch(uri, after_listing=stop)


def test_a_truncated_part_is_fetched_again(node: SourceNode, site: WebFiles, uri: str) -> None:
    site.replies = [None, Reply(status=206, headers=shown(0, 65535), body=CONTENT[:65536], cut_bytes=1000)]
    node.fetch(uri)
    assert node.published(uri) == {"weights.bin": CONTENT}


def shown(first: int, last: int) -> dict[str, str]:
    return {"Content-Range": f"bytes {first}-{last}/{len(CONTENT)}"}


@pytest.mark.parametrize(
    "status, error",
    [
        (401, AccessDenied),
        (403, AccessDenied),
        (404, SourceNotFound),
        (410, SourceNotFound),
        (429, SourceThrottled),
        (500, SourceUnavailable),
        (503, SourceUnavailable),
    ],
)
@pytest.mark.parametrize("listed", [False, True])
def test_an_answer_is_one_of_our_errors(
    node: SourceNode, site: WebFiles, uri: str, status: int, error: type[Exception], listed: bool
) -> None:
    refusals: list[Reply | None] = [Reply(status=status, body=b"secret")] * 10
    site.replies = [None, *refusals] if listed else refusals
    with pytest.raises(error) as caught:
        node.fetch(uri)
    assert str(caught.value).startswith(uri)
    assert "secret" not in str(caught.value)


def test_what_passes_is_asked_again(node: SourceNode, site: WebFiles, uri: str) -> None:
    site.replies = [None, Reply(status=503), Reply(status=429, headers={"Retry-After": "0"}), None]
    node.fetch(uri)
    assert node.published(uri) == {"weights.bin": CONTENT}


@pytest.mark.parametrize("name", ["modèle 1.bin", "a%20b+c.bin", "what's&new=(1),~.bin"])
def test_a_name_with_strange_characters_stays_as_the_url_spells_it(
    node: SourceNode, site: WebFiles, web: WebServer, name: str
) -> None:
    site.files = {f"/models/{name.replace('%20', ' ')}": b"strange"}
    node.fetch(f"{web.url}/models/{name}")
    assert node.published(f"{web.url}/models/{name}") == {name: b"strange"}


def test_a_query_is_sent_as_it_is(node: SourceNode, web: WebServer, uri: str) -> None:
    node.fetch(f"{uri}?version=1%2F2&sig=a%2Bb=")
    assert web.asked[-1].path == f"{PATH}?version=1%2F2&sig=a%2Bb="


@pytest.mark.parametrize("name", ["model.zip", "model.TAR.gz", "model.tgz", "model.tar", "repository.git"])
def test_what_kserve_unpacks_is_left_to_it(node: SourceNode, web: WebServer, name: str) -> None:
    with pytest.raises(UnsupportedArchive, match="KServe unpacks it"):
        node.fetch(f"{web.url}/models/{name}")
    assert web.asked == []


@pytest.mark.parametrize("path", ["", "/", "/models/"])
def test_a_folder_is_no_file(node: SourceNode, web: WebServer, path: str) -> None:
    with pytest.raises(SourceNotFound, match="names no file"):
        node.fetch(web.url + path)


def test_a_password_in_a_uri_is_refused_and_not_repeated(node: SourceNode, web: WebServer) -> None:
    with pytest.raises(AccessDenied, match="put a header into a secret") as caught:
        node.fetch(f"http://user:hunter2@{web.host}{PATH}")
    assert "hunter2" not in str(caught.value)


def test_headers_of_the_secret_are_sent(node: SourceNode, site: WebFiles, uri: str) -> None:
    site.wanted = WANTED
    node.credentials = {"HTTPS_HOST": "127.0.0.1", "HTTPS_HEADERS": HEADERS}
    node.fetch(uri)
    assert node.published(uri) == {"weights.bin": CONTENT}


def test_another_host_is_told_no_header_of_the_secret(node: SourceNode, web: WebServer, uri: str) -> None:
    node.credentials = {"HTTPS_HOST": "models.example.org", "HTTPS_HEADERS": HEADERS}
    node.fetch(uri)
    assert not any(WANTED.keys() & request.headers.keys() for request in web.asked)


def test_headers_of_the_agent_are_for_models_without_credentials(node: SourceNode, site: WebFiles, uri: str) -> None:
    site.wanted = WANTED
    node.environment = {"HTTPS_HOST": "127.0.0.1", "HTTPS_HEADERS": HEADERS}
    node.fetch(uri)
    node.credentials = {"AWS_ACCESS_KEY_ID": "of another"}
    with pytest.raises(AccessDenied):
        node.fetch(uri)


@pytest.mark.parametrize("headers", ["s3cret", '["s3cret"]', '{"X-Key": 1}', '{"X-Key": "s3cret\\nx"}', '{"s3:": "x"}'])
def test_headers_that_are_none_are_said_and_not_shown(node: SourceNode, uri: str, headers: str) -> None:
    node.credentials = {"HTTPS_HOST": "127.0.0.1", "HTTPS_HEADERS": headers}
    with pytest.raises(AccessDenied, match="secret for https") as caught:
        node.fetch(uri)
    assert "s3" not in str(caught.value)


def test_a_redirection_to_another_host_is_told_no_secret(node: SourceNode, site: WebFiles, uri: str) -> None:
    site.wanted = WANTED
    node.credentials = {"HTTPS_HOST": "127.0.0.1", "HTTPS_HEADERS": HEADERS}
    with WebServer(WebFiles({"/there.bin": CONTENT})) as elsewhere:
        site.redirects = {PATH: f"{elsewhere.url}/there.bin?signature=abc"}
        node.fetch(uri)
        assert node.published(uri) == {"weights.bin": CONTENT}
        assert not any(WANTED.keys() & request.headers.keys() for request in elsewhere.asked)
        assert all(request.headers["if-match"] for request in elsewhere.asked[1:])


def test_a_redirection_is_followed_once_for_all_parts(node: SourceNode, site: WebFiles, web: WebServer) -> None:
    site.redirects = {"/latest.bin": PATH}
    node.fetch(f"{web.url}/latest.bin")
    paths = [request.path for request in web.asked]
    # For the first byte, for what is told of the whole, and for the parts.
    assert paths.count("/latest.bin") == 3
    assert node.published(f"{web.url}/latest.bin") == {"latest.bin": CONTENT}


def test_a_redirection_that_has_expired_is_asked_for_again(node: SourceNode, site: WebFiles, web: WebServer) -> None:
    site.redirects = {"/latest.bin": PATH}
    # Two requests for each of the three; the second part is sent there at once.
    site.replies = [None] * 6 + [Reply(status=403)]
    node.fetch(f"{web.url}/latest.bin")
    assert [request.path for request in web.asked][6:9] == [PATH, "/latest.bin", PATH]
    assert node.published(f"{web.url}/latest.bin") == {"latest.bin": CONTENT}


def test_redirections_without_end_are_left(node: SourceNode, site: WebFiles, uri: str) -> None:
    site.redirects = {PATH: PATH}
    with pytest.raises(SourceUnavailable, match="more than 5 redirections"):
        node.fetch(uri)


@pytest.mark.parametrize("bundle", ["text", "path"])
def test_a_server_with_a_certificate_of_ones_own_is_trusted(
    node: SourceNode, site: WebFiles, certificate: ServerCertificate, tmp_path: Path, bundle: str
) -> None:
    (tmp_path / "ca.crt").write_bytes(certificate.authority)
    node.credentials = {"CA_BUNDLE": certificate.authority.decode() if bundle == "text" else str(tmp_path / "ca.crt")}
    with WebServer(site, certificate) as web:
        node.fetch(web.url + PATH)
        assert node.published(web.url + PATH) == {"weights.bin": CONTENT}


def test_a_server_that_nobody_vouches_for_is_not(
    node: SourceNode, site: WebFiles, certificate: ServerCertificate
) -> None:
    with WebServer(site, certificate) as web:
        with pytest.raises(SourceUnavailable, match=r"can't be reached: .*CERTIFICATE_VERIFY_FAILED"):
            node.fetch(web.url + PATH)
        node.credentials = {"VERIFY_SSL": "false"}
        node.fetch(web.url + PATH)


def test_https_does_not_lead_to_http(
    node: SourceNode, site: WebFiles, uri: str, certificate: ServerCertificate
) -> None:
    node.credentials = {"CA_BUNDLE": certificate.authority.decode()}
    with WebServer(WebFiles(), certificate) as web:
        assert isinstance(web.site, WebFiles)
        web.site.redirects = {PATH: uri}
        with pytest.raises(SourceUnavailable, match="from https to http"):
            node.fetch(web.url + PATH)


@pytest.mark.parametrize("bundle", ["/nowhere/ca.crt", "-----BEGIN CERTIFICATE-----\nnonsense"])
def test_a_bundle_that_is_none_is_said(node: SourceNode, uri: str, bundle: str) -> None:
    node.credentials = {"CA_BUNDLE": bundle}
    with pytest.raises(AccessDenied, match=r"the CA bundle can't be used: [^\n]*$"):
        node.fetch(uri)


SHA256 = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
MD5 = base64.b64encode(hashlib.md5(CONTENT, usedforsecurity=False).digest()).decode()


@pytest.mark.parametrize(
    "header, value, algorithm",
    [
        ("Repr-Digest", f"sha-512=:AAAA:, sha-256=:{SHA256}:", ChecksumAlgorithm.SHA256),
        ("Digest", f"md5={MD5}, SHA-256={SHA256}", ChecksumAlgorithm.SHA256),
        ("X-Checksum-Sha256", hashlib.sha256(CONTENT).hexdigest(), ChecksumAlgorithm.SHA256),
        ("Content-MD5", MD5, ChecksumAlgorithm.MD5),
    ],
)
def test_what_came_is_held_against_the_servers_own_checksum(
    node: SourceNode, site: WebFiles, uri: str, header: str, value: str, algorithm: ChecksumAlgorithm
) -> None:
    site.headers = {header: value}
    node.fetch(uri)
    site.files[PATH] = CHANGED
    node.home = node.home.parent / "other"
    node.home.mkdir()
    with pytest.raises(CorruptTransfer, match=f"has the {algorithm} "):
        node.fetch(uri)
    assert node.published(uri) == {}


def test_a_small_file_is_held_against_the_checksum_that_comes_with_it(
    node: SourceNode, site: WebFiles, uri: str
) -> None:
    site.files[PATH] = b"small"
    site.headers = {"Content-MD5": MD5}
    with pytest.raises(CorruptTransfer, match="md5"):
        node.fetch(uri)


def test_a_range_is_read_alone(node: SourceNode, uri: str) -> None:
    async def scenario(store: ObjectStore) -> bytes:
        (item,) = await store.list(uri)
        return await store.read(item, 100, 50)

    assert node.ask(uri, scenario) == CONTENT[100:150]


def test_nobody_waits_for_a_silent_server_after_a_cancellation(node: SourceNode) -> None:
    asked, over = threading.Event(), threading.Event()

    class Silent:
        def answer(self, request: Asked) -> Reply:
            asked.set()
            over.wait()
            return Reply()

    async def scenario(store: ObjectStore) -> None:
        listing = asyncio.create_task(store.list(server.url + PATH))
        await asyncio.to_thread(asked.wait)
        listing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listing

    with WebServer(Silent()) as server:
        node.ask(server.url, scenario)
        assert not over.is_set()
        over.set()
