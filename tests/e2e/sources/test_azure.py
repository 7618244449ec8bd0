"""Azure's blobs through the agent's own adapters: the Blob service, as far as models go, with its signatures."""

from __future__ import annotations

import base64
import hashlib
import random
import urllib.parse
from collections.abc import Iterator
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.storage.blob import generate_container_sas

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

CONTENT = random.Random(8).randbytes(200_000)
CHANGED = CONTENT[::-1]
STRANGE = "sub/ünï code+%2F &?#=@<.json"
URI = "abfs://models/iris"
KEY = base64.b64encode(b"the account's key").decode()
OTHER_KEY = base64.b64encode(b"another key").decode()


class Blobs:
    """A site: the account `acct` with the container `models`.

    It wants `key`'s signatures, or else `token`; without both, everybody may read.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, tuple[bytes, str]] = {}
        self.md5: dict[str, str] = {}
        self.folders: set[str] = set()
        self.replies: list[Reply | None] = []
        self.key = ""
        self.token = ""
        self.page_blobs = 5000
        self._versions = 0

    def put(self, name: str, content: bytes, md5: str | None = None) -> None:
        self._versions += 1
        self.blobs[name] = (content, f"0x8D{self._versions:04}")
        made = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        self.md5[name] = made if md5 is None else md5

    def answer(self, asked: Asked) -> Reply:
        reply = self.replies.pop(0) if self.replies else None
        if reply is not None:
            return reply
        path, _, query = asked.path.partition("?")
        parameters = dict(urllib.parse.parse_qsl(query))
        if not self._allowed(asked, parameters):
            return failure(403, "AuthenticationFailed")
        if path == "/models" and parameters.get("comp") == "list":
            return self._page(parameters)
        name = urllib.parse.unquote(path.removeprefix("/models/"))
        if name not in self.blobs:
            return failure(404, "BlobNotFound" if path.startswith("/models") else "ContainerNotFound")
        content, etag = self.blobs[name]
        if asked.headers["if-match"] != f'"{etag}"':
            return failure(412, "ConditionNotMet")
        return ranged(asked, content, {"ETag": f'"{etag}"'})

    def _allowed(self, asked: Asked, parameters: dict[str, str]) -> bool:
        if self.key:
            if "sig" not in parameters:
                return False
            signed = generate_container_sas(
                "acct", "models", account_key=self.key, permission=parameters["sp"], expiry=parameters["se"]
            )
            return dict(urllib.parse.parse_qsl(signed))["sig"] == parameters["sig"]
        return not self.token or asked.headers.get("authorization") == f"Bearer {self.token}"

    def _page(self, asked: dict[str, str]) -> Reply:
        names = sorted(name for name in self.blobs if name.startswith(asked.get("prefix", "")))
        after = [name for name in names if name > asked.get("marker", "")]
        shown = after[: min(self.page_blobs, int(asked["maxresults"]))]
        marker = escape(shown[-1]) if len(shown) < len(after) else ""
        blobs = "".join(self._blob(name) for name in shown)
        body = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
        return Reply(body=f'\ufeff<?xml version="1.0" encoding="utf-8"?>{body}'.encode())

    def _blob(self, name: str) -> str:
        content, etag = self.blobs[name]
        properties = f"<Content-Length>{len(content)}</Content-Length><Etag>{etag}</Etag>"
        properties += f"<Content-MD5>{self.md5[name]}</Content-MD5>"
        metadata = "<hdi_isfolder>true</hdi_isfolder>" if name in self.folders else ""
        return (
            f"<Blob><Name>{escape(name)}</Name><Properties>{properties}</Properties>"
            f"<Metadata>{metadata}</Metadata></Blob>"
        )


def failure(status: int, code: str) -> Reply:
    return Reply(status=status, body=f"<Error><Code>{code}</Code><Message>secret</Message></Error>".encode())


class FakeToken(NamedTuple):
    token: str


class FakeIdentity:
    """What Azure's library would be; `blobs` has the token that is good now."""

    blobs: Blobs
    error: Exception | None = None

    def __init__(self, *arguments: str, **options: str) -> None:
        self._token = self.blobs.token

    def get_token(self, scope: str) -> FakeToken:
        if self.error is not None:
            raise self.error
        return FakeToken(self._token)

    def close(self) -> None:
        pass


@pytest.fixture
def blobs() -> Blobs:
    blobs = Blobs()
    blobs.put("iris/weights.bin", CONTENT)
    blobs.put(f"iris/{STRANGE}", b"{}")
    blobs.put("iris", b"")
    blobs.put("iris/sub", b"")
    blobs.folders = {"iris", "iris/sub"}
    blobs.put("iris2/other", b"no")
    return blobs


@pytest.fixture
def azure(blobs: Blobs, node: SourceNode) -> Iterator[WebServer]:
    """For a node without credentials."""
    with WebServer(blobs) as server:
        node.environment = {"AZURE_STORAGE_ENDPOINT": server.url, "AZURE_STORAGE_ACCOUNT": "acct"}
        yield server


@pytest.fixture
def key(azure: WebServer, blobs: Blobs, node: SourceNode) -> str:
    """For a node that has the account's key."""
    blobs.key = KEY
    node.credentials = {"AZURE_STORAGE_ACCESS_KEY": KEY}
    return KEY


@pytest.fixture
def principal(azure: WebServer, blobs: Blobs, node: SourceNode, monkeypatch: pytest.MonkeyPatch) -> type[FakeIdentity]:
    """For a node that has a service principal's secret."""
    kind = type("Identity", (FakeIdentity,), {"blobs": blobs})
    monkeypatch.setattr("azure.identity.ClientSecretCredential", kind)
    blobs.token = "eyJ.first"
    node.credentials = {"AZURE_CLIENT_ID": "id", "AZURE_CLIENT_SECRET": "s3cret", "AZURE_TENANT_ID": "tenant"}
    return kind


def listed(node: SourceNode, uri: str = URI) -> list[ObjectInfo]:
    found: list[ObjectInfo] = node.ask(uri, lambda store: store.list(uri))
    return found


async def read_weights(store: ObjectStore) -> bytes:
    (weights,) = await store.list(f"{URI}/weights.bin")
    return await store.read(weights, 100, 1000)


def test_a_prefix_is_a_folder_and_not_its_namesake(node: SourceNode, key: str) -> None:
    assert {item.path: item.size_bytes for item in listed(node)} == {"weights.bin": 200_000, STRANGE: 2}


def test_a_listing_of_many_pages_is_whole(node: SourceNode, azure: WebServer, blobs: Blobs) -> None:
    blobs.page_blobs = 1
    assert len(listed(node)) == 2


def test_a_uri_may_name_one_blob_whose_md5_is_known(node: SourceNode, key: str) -> None:
    (weights,) = listed(node, f"{URI}/weights.bin")
    assert (weights.path, weights.etag) == ("weights.bin", "0x8D0001")
    assert weights.checksum is not None
    assert weights.checksum.algorithm is ChecksumAlgorithm.MD5
    assert weights.checksum.value == hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    "uri, message",
    [
        (f"{URI}/nothing", "there is no blob below"),
        ("abfs://models/iri", "there is no blob below"),
        ("abfs://nowhere/iris", "there is no container nowhere"),
        ("abfs://No_Container/iris", "names no container"),
        ("abfs://models@evil.example/iris", "no storage account of Azure's"),
    ],
)
def test_what_is_not_there_is_said(node: SourceNode, azure: WebServer, blobs: Blobs, uri: str, message: str) -> None:
    node.credentials = {"AZURE_STORAGE_SAS_TOKEN": "sig=x"}
    with pytest.raises(SourceNotFound, match=message):
        listed(node, uri)


@pytest.mark.parametrize(
    "uri",
    [
        URI,
        "abfs://models@acct.dfs.core.windows.net/iris",
        "abfs://models@acct.blob.core.windows.net/iris/",
        "https://acct.blob.core.windows.net/models/iris",
    ],
)
def test_a_model_comes_in_parts_whatever_its_names(node: SourceNode, azure: WebServer, key: str, uri: str) -> None:
    node.fetch(uri, connections=4)
    assert node.published(uri) == {"weights.bin": CONTENT, STRANGE: b"{}"}
    assert len([asked for asked in azure.asked if "range" in asked.headers]) == 4


def test_a_wrong_key_is_refused(node: SourceNode, key: str) -> None:
    node.credentials = {"AZURE_STORAGE_ACCESS_KEY": OTHER_KEY}
    with pytest.raises(AccessDenied):
        listed(node)


def test_a_key_that_is_none_is_said_and_not_shown(node: SourceNode, azure: WebServer) -> None:
    node.credentials = {"AZURE_STORAGE_ACCESS_KEY": "s3cret"}
    with pytest.raises(AccessDenied, match="AZURE_STORAGE_ACCESS_KEY is no key") as caught:
        listed(node)
    assert "s3cret" not in str(caught.value)


def test_a_signature_that_somebody_else_has_made_is_used(node: SourceNode, azure: WebServer) -> None:
    node.credentials = {"AZURE_STORAGE_SAS_TOKEN": "?sv=2024-01-01&sig=abc"}
    node.fetch(URI)
    assert all(asked.path.endswith("sv=2024-01-01&sig=abc") for asked in azure.asked)


def test_a_signature_in_the_uri_is_refused_and_not_shown(node: SourceNode, azure: WebServer) -> None:
    with pytest.raises(AccessDenied, match="AZURE_STORAGE_SAS_TOKEN") as caught:
        listed(node, "https://acct.blob.core.windows.net/models/iris?sig=s3cret")
    assert "s3cret" not in str(caught.value)


def test_bytes_that_are_not_those_of_the_checksum_are_found(node: SourceNode, azure: WebServer, blobs: Blobs) -> None:
    blobs.put("iris/weights.bin", CONTENT, md5=base64.b64encode(bytes(16)).decode())
    with pytest.raises(CorruptTransfer, match="md5"):
        node.fetch(URI)


def test_a_blob_without_md5_comes_as_well(node: SourceNode, azure: WebServer, blobs: Blobs) -> None:
    blobs.put("iris/weights.bin", CONTENT, md5="")
    node.fetch(URI)
    assert node.published(URI)["weights.bin"] == CONTENT


def test_a_blob_that_changed_is_listed_again(node: SourceNode, azure: WebServer, blobs: Blobs) -> None:
    node.fetch(URI, after_listing=lambda: blobs.put("iris/weights.bin", CHANGED))
    assert node.published(URI)["weights.bin"] == CHANGED


def test_another_version_is_a_change(node: SourceNode, azure: WebServer, blobs: Blobs) -> None:
    async def scenario(store: ObjectStore) -> None:
        (weights,) = await store.list(f"{URI}/weights.bin")
        blobs.put("iris/weights.bin", CHANGED)
        await store.read(weights, 0, 10)

    with pytest.raises(SourceChanged):
        node.ask(URI, scenario)


@pytest.mark.parametrize(
    "reply, error",
    [
        (failure(401, "NoAuthenticationInformation"), AccessDenied),
        (failure(403, "AuthorizationPermissionMismatch"), AccessDenied),
        (failure(404, "BlobNotFound"), SourceNotFound),
        (failure(500, "InternalError"), SourceUnavailable),
        (failure(503, "ServerBusy"), SourceThrottled),
        (failure(429, "TooManyRequests"), SourceThrottled),
    ],
)
@pytest.mark.parametrize("first", [0, 2])
def test_an_error_is_one_of_ours(
    node: SourceNode, key: str, blobs: Blobs, first: int, reply: Reply, error: type[Exception]
) -> None:
    blobs.replies = [None] * first + [reply] * 2
    with pytest.raises(error) as caught:
        node.ask(URI, read_weights)
    assert "secret" not in str(caught.value)


def test_a_token_that_expires_in_the_middle_is_renewed(
    node: SourceNode, azure: WebServer, principal: type[FakeIdentity], blobs: Blobs
) -> None:
    def expire() -> None:
        blobs.token = "eyJ.second"

    node.fetch(URI, connections=4, after_listing=expire)
    assert node.published(URI)["weights.bin"] == CONTENT
    told = {asked.headers["authorization"] for asked in azure.asked}
    assert told == {"Bearer eyJ.first", "Bearer eyJ.second"}


def test_a_token_that_expires_before_a_listing_is_renewed(
    node: SourceNode, principal: type[FakeIdentity], blobs: Blobs
) -> None:
    async def scenario(store: ObjectStore) -> None:
        await store.list(URI)
        blobs.token = "eyJ.second"
        await store.list(URI)

    node.ask(URI, scenario)


@pytest.mark.parametrize(
    "raised, error, message",
    [
        (ClientAuthenticationError("AADSTS7000215: Invalid client secret s3cret"), AccessDenied, "AADSTS7000215"),
        (ServiceRequestError("s3cret"), SourceUnavailable, "can't be reached"),
    ],
)
def test_no_token_is_said_without_the_secret(
    node: SourceNode, principal: Any, raised: Exception, error: type[Exception], message: str
) -> None:
    principal.error = raised
    with pytest.raises(error, match=message) as caught:
        listed(node)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "kind, environment",
    [
        ("WorkloadIdentityCredential", {"AZURE_TENANT_ID": "tenant", "AZURE_FEDERATED_TOKEN_FILE": "/token"}),
        ("ManagedIdentityCredential", {}),
    ],
)
def test_the_agents_own_identity_is_for_models_that_name_no_credentials(
    node: SourceNode,
    principal: type[FakeIdentity],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    environment: dict[str, str],
) -> None:
    monkeypatch.setattr(f"azure.identity.{kind}", principal)
    node.environment |= {"AZURE_CLIENT_ID": "id", **environment}
    node.credentials = {}
    assert listed(node)
    node.credentials = {"AZURE_CLIENT_ID": "id", **environment}
    with pytest.raises(AccessDenied, match="without credentials"):
        listed(node)


def test_half_a_principal_is_said(node: SourceNode, azure: WebServer) -> None:
    node.credentials = {"AZURE_CLIENT_SECRET": "s3cret"}
    with pytest.raises(AccessDenied, match="AZURE_TENANT_ID"):
        listed(node)


def test_what_is_public_needs_no_credentials(node: SourceNode, azure: WebServer) -> None:
    node.fetch(URI)
    assert [asked for asked in azure.asked if "authorization" in asked.headers or "sig=" in asked.path] == []


def test_what_is_not_public_is_said_to_need_some(node: SourceNode, azure: WebServer, blobs: Blobs) -> None:
    blobs.key = KEY
    with pytest.raises(AccessDenied, match="can't be read without credentials"):
        listed(node)


def test_the_agents_own_key_is_for_models_that_name_none(node: SourceNode, azure: WebServer, blobs: Blobs) -> None:
    blobs.key = node.environment["AZURE_STORAGE_ACCESS_KEY"] = KEY
    assert listed(node)


def test_the_agents_own_key_is_for_no_model_that_names_any(node: SourceNode, azure: WebServer, blobs: Blobs) -> None:
    blobs.key = node.environment["AZURE_STORAGE_ACCESS_KEY"] = KEY
    node.credentials = {"AZURE_STORAGE_ENDPOINT": azure.url}
    with pytest.raises(AccessDenied):
        listed(node)


def test_a_uri_without_an_account_says_how_to_name_one(node: SourceNode) -> None:
    with pytest.raises(SourceNotFound, match="AZURE_STORAGE_ACCOUNT"):
        listed(node)
