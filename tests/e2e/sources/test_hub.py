"""Models of a hub, whose large files are in another store, through the agent's own adapters."""

from __future__ import annotations

import datetime
import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.hf_api import RepoFile

from cacheagent.adapters.hf_store import hub_address
from cachecore.errors import AccessDenied, CorruptTransfer, SourceNotFound, SourceThrottled, SourceUnavailable
from cachecore.ports import ChecksumAlgorithm, ObjectInfo, ObjectStore
from cachesim.host.certificates import make_certificate
from cachesim.localcluster.testing_hub import Hub, LargeFiles
from cachesim.localcluster.testing_sources import SourceNode
from cachesim.localcluster.testing_web import Reply, WebServer

REPOSITORY = "acme/tiny"
URI = f"hf://{REPOSITORY}"
WEIGHTS = random.Random(7).randbytes(200_000)
FILES = {"config.json": b"{}", "weights.bin": WEIGHTS, "sub/tokens ünï+%20?#.txt": b"a b c", ".gitattributes": b""}
TOKEN = "hf_s3cret"


@pytest.fixture
def elsewhere() -> Iterator[WebServer]:
    with WebServer(LargeFiles()) as server:
        yield server


@pytest.fixture
def hub(elsewhere: WebServer) -> Hub:
    assert isinstance(elsewhere.site, LargeFiles)
    hub = Hub(elsewhere.site)
    hub.elsewhere_url = elsewhere.url
    hub.put(REPOSITORY, FILES)
    return hub


@pytest.fixture
def server(hub: Hub, node: SourceNode) -> Iterator[WebServer]:
    with WebServer(hub) as server:
        node.environment["HF_ENDPOINT"] = server.url
        yield server


def listed(node: SourceNode, uri: str = URI) -> list[ObjectInfo]:
    async def scenario(store: ObjectStore) -> list[ObjectInfo]:
        return await store.list(uri)

    found: list[ObjectInfo] = node.ask(uri, scenario)
    return found


@pytest.mark.usefixtures("server")
def test_a_model_comes_whole(node: SourceNode) -> None:
    node.fetch(URI, connections=4)
    assert node.published(URI) == FILES


def test_what_is_listed_is_what_the_hubs_own_library_lists(node: SourceNode, hub: Hub, server: WebServer) -> None:
    hub.page_files = 2
    api = HfApi(endpoint=server.url, token=False)
    theirs = [item for item in api.list_repo_tree(REPOSITORY, recursive=True) if isinstance(item, RepoFile)]
    assert [(item.path, item.size_bytes, item.etag) for item in listed(node)] == sorted(
        (item.path, item.size, item.lfs.sha256 if item.lfs else item.blob_id) for item in theirs
    )


@pytest.mark.usefixtures("server")
def test_large_files_have_a_checksum(node: SourceNode) -> None:
    checksum = next(item.checksum for item in listed(node) if item.path == "weights.bin")
    assert checksum is not None
    assert (checksum.algorithm, checksum.value) == (ChecksumAlgorithm.SHA256, hashlib.sha256(WEIGHTS).hexdigest())


@pytest.mark.usefixtures("server")
def test_a_large_file_that_is_corrupt_is_not_published(node: SourceNode, hub: Hub) -> None:
    hub.elsewhere.contents[hashlib.sha256(WEIGHTS).hexdigest()] = WEIGHTS[::-1]
    with pytest.raises(CorruptTransfer, match="has the sha256"):
        node.fetch(URI)
    assert node.published(URI) == {}


@pytest.mark.usefixtures("server")
def test_all_parts_come_of_the_commit_that_was_listed(node: SourceNode, hub: Hub) -> None:
    def commit() -> None:
        hub.put(REPOSITORY, {"weights.bin": WEIGHTS[::-1]})

    node.fetch(URI, after_listing=commit)
    assert node.published(URI) == FILES


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("separator", [":", "@"])
@pytest.mark.parametrize("revision, spelling", [("v1", "v1"), ("refs/pr/3", "refs/pr/3"), ("a/b", "a%2Fb")])
def test_a_revision_is_chosen(node: SourceNode, hub: Hub, separator: str, revision: str, spelling: str) -> None:
    hub.put(REPOSITORY, {"of.txt": revision.encode()}, revision)
    uri = f"{URI}{separator}{spelling}"
    node.fetch(uri)
    assert node.published(uri) == {"of.txt": revision.encode()}


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("path, names", [("/sub", ["tokens ünï+%20?#.txt"]), ("@main/config.json", ["config.json"])])
def test_a_folder_or_a_file_of_a_model_is_chosen(node: SourceNode, path: str, names: list[str]) -> None:
    node.fetch(URI + path)
    assert list(node.published(URI + path)) == names


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "uri, why",
    [
        (f"{URI}/nothing", "no file below"),
        (f"{URI}:nothing", "no such revision"),
        ("hf://acme", "names no model: write it like hf://owner/model"),
        ("hf://../..", "names no model"),
    ],
)
def test_what_is_not_there_is_said(node: SourceNode, uri: str, why: str) -> None:
    with pytest.raises(SourceNotFound, match=why):
        listed(node, uri)


def test_the_token_is_for_the_hub_alone(node: SourceNode, hub: Hub, server: WebServer, elsewhere: WebServer) -> None:
    hub.token = node.credentials["HF_TOKEN"] = TOKEN
    node.fetch(URI)
    assert node.published(URI) == FILES
    assert not any("authorization" in request.headers for request in elsewhere.asked)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "code, token, why",
    [
        ("RepoNotFound", "", "there is no such model, or only with a token"),
        ("RepoNotFound", "wr0ng", "there is no such model, or not for this token"),
        ("GatedRepo", "wr0ng", "its terms must be accepted"),
    ],
)
def test_a_model_that_is_not_for_everyone_says_so(node: SourceNode, hub: Hub, code: str, token: str, why: str) -> None:
    hub.token, hub.error_code = TOKEN, code
    node.credentials["HF_TOKEN"] = token
    with pytest.raises(AccessDenied, match=why) as caught:
        listed(node)
    assert "wr0ng" not in str(caught.value)


def test_the_agents_own_token_is_for_models_without_credentials(node: SourceNode, hub: Hub, server: WebServer) -> None:
    hub.token = node.environment["HF_TOKEN"] = TOKEN
    assert listed(node)
    node.credentials["HF_ENDPOINT"] = server.url
    with pytest.raises(AccessDenied):
        listed(node)


def test_the_other_stores_address_is_asked_for_once(node: SourceNode, server: WebServer, elsewhere: WebServer) -> None:
    node.fetch(URI)
    assert sum("/resolve/" in request.path and "weights" in request.path for request in server.asked) == 1
    assert len(elsewhere.asked) == 4


def test_an_address_whose_signature_has_expired_is_asked_for_again(
    node: SourceNode, hub: Hub, server: WebServer, elsewhere: WebServer
) -> None:
    class Expiring(LargeFiles):
        def answer(self, asked: object) -> Reply:
            reply = hub.elsewhere.answer(asked)  # type: ignore[arg-type]
            hub.elsewhere.signature += "1"
            return reply

    elsewhere.site = Expiring()
    node.fetch(URI)
    assert node.published(URI) == FILES
    assert sum("/resolve/" in request.path and "weights" in request.path for request in server.asked) == 4


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("status, error", [(429, SourceThrottled), (500, SourceUnavailable), (503, SourceUnavailable)])
@pytest.mark.parametrize("before", [0, 2])
def test_a_hub_that_is_overloaded_is_told_from_a_missing_model(
    node: SourceNode, hub: Hub, status: int, error: type[Exception], before: int
) -> None:
    hub.replies = [*[None] * before, *[Reply(status=status)] * 10]
    with pytest.raises(error):
        node.fetch(URI)


@pytest.mark.usefixtures("server")
def test_what_is_no_hub_is_said(node: SourceNode, hub: Hub) -> None:
    hub.replies = [Reply(body=b"<html>")]
    with pytest.raises(SourceUnavailable, match="the hub's answer is none of its API"):
        listed(node)


def test_a_hub_with_a_certificate_of_its_own_is_trusted(node: SourceNode, hub: Hub, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "tls", ("127.0.0.1",), now=datetime.datetime.now(datetime.UTC))
    hub.put(REPOSITORY, {"config.json": b"{}"})
    node.environment["CA_BUNDLE"] = certificate.authority.decode()
    with WebServer(hub, certificate) as server:
        node.environment["HF_ENDPOINT"] = server.url
        node.fetch(URI)
    assert node.published(URI) == {"config.json": b"{}"}


def test_an_address_that_is_read_again_is_the_same() -> None:
    address = hub_address("hf://acme/tiny@a%2Fb/sub/file:1@2")
    assert (address.repository, address.revision, address.path) == (REPOSITORY, "a/b", "sub/file:1@2")
    assert hub_address(str(address)) == address


@pytest.mark.usefixtures("server")
def test_a_hub_tells_when_to_come_again(node: SourceNode, hub: Hub) -> None:
    hub.replies = [Reply(status=429, headers={"RateLimit": '"api";r=0;t=55'})]
    with pytest.raises(SourceThrottled) as caught:
        listed(node)
    assert caught.value.retry_after_seconds == 55
