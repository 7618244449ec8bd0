"""`hf://owner/model[:revision][/path]`: a model hub, Hugging Face's or one that speaks like it.

What the credentials may have, besides `trust`'s settings: `HF_TOKEN`, and `HF_ENDPOINT` for another hub. The agent's
own token is for models that name no credentials, so that nobody can have it sent to a hub of his own.

The hub is asked directly, for the commit of the revision and for its tree. Its own library (which the tests hold this
against) asks without a timeout, sleeps for minutes in a thread when it is throttled, and trusts one set of certificates
in the whole process.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec

from cacheagent.adapters.http_ranges import Abort, HttpRanges, refused
from cacheagent.adapters.http_store import HttpStore
from cacheagent.adapters.signed import SignedRequest
from cacheagent.adapters.trust import trust
from cachecore.errors import AccessDenied, SourceNotFound, SourceUnavailable
from cachecore.ports import Checksum, ChecksumAlgorithm, Credentials, ObjectInfo

ENDPOINT = "https://huggingface.co"
REVISION = "main"
# A thousand files of a tree are half a megabyte.
ANSWER_BYTES_MAX = 32 * 2**20
PAGES_MAX = 1000

Objects: TypeAlias = list[ObjectInfo]
T = TypeVar("T")

# Revisions of pull requests and of conversions have slashes of their own.
_ADDRESS = re.compile(
    r"hf://(?P<owner>\w[\w.-]*)/(?P<name>\w[\w.-]*)"
    r"(?:[:@](?P<revision>refs/(?:pr|convert)/[^/]+|[^/]*))?(?:/(?P<path>.*))?",
    re.ASCII | re.DOTALL,
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')


class HubAddress(NamedTuple):
    repository: str
    revision: str
    path: str

    def __str__(self) -> str:
        return f"hf://{self.repository}:{urllib.parse.quote(self.revision, safe='')}/{self.path}"


class _Commit(msgspec.Struct, frozen=True):
    sha: str


class _Lfs(msgspec.Struct, frozen=True):
    oid: str


class _Entry(msgspec.Struct, frozen=True):
    """Of a tree. `oid` is git's; for a large file, `lfs` is the SHA-256 of its bytes."""

    type: str
    path: str
    size: int = 0
    oid: str = ""
    lfs: _Lfs | None = None


class HubStore(HttpStore):
    """One set of credentials."""

    def __init__(
        self, credentials: Credentials, environment: Mapping[str, str], *, http: HttpRanges | None = None
    ) -> None:
        super().__init__("hf", trust(credentials, environment), http)
        own = credentials if credentials.values else Credentials(tuple(environment.items()))
        endpoint = credentials.get("HF_ENDPOINT") or environment.get("HF_ENDPOINT", "")
        self._endpoint = (endpoint.strip() or ENDPOINT).rstrip("/")
        self._token = own.get("HF_TOKEN").strip()
        if not (self._token.isascii() and (self._token.isprintable() or not self._token)):
            raise AccessDenied("the secret's HF_TOKEN has characters that no token has")

    async def list(self, uri: str) -> Objects:
        address = hub_address(uri)
        return await self._in_thread(lambda abort: self._list(uri, address, abort))

    async def sign(self, source: ObjectInfo, *, fresh: bool = False) -> SignedRequest:
        """The commit in the URL pins the version: the ETag is of whichever store the hub sends us to."""
        address = hub_address(source.location)
        path = urllib.parse.quote(address.path, safe="/")
        return self._request(
            f"{self._endpoint}/{address.repository}/resolve/{address.revision}/{path}", version_header="x-linked-etag"
        )

    def _request(self, url: str, version_header: str = "") -> SignedRequest:
        headers = [("Accept-Encoding", "identity")]
        same_host = urllib.parse.urlsplit(url).netloc == urllib.parse.urlsplit(self._endpoint).netloc
        if self._token and same_host:
            headers.append(("Authorization", f"Bearer {self._token}"))
        return SignedRequest(url=url, headers=tuple(headers), version_header=version_header, tls=self._tls)

    def _list(self, uri: str, address: HubAddress, abort: Abort) -> Objects:
        """Of the commit that the revision is now: all parts come of that one."""
        models = f"{self._endpoint}/api/models/{address.repository}"
        revision = urllib.parse.quote(address.revision, safe="")
        commit, _ = self._ask(f"{models}/revision/{revision}", uri, abort, _Commit)
        entries: list[_Entry] = []
        url = f"{models}/tree/{commit.sha}?recursive=true&expand=false"
        for _ in range(PAGES_MAX):
            page, link = self._ask(url, uri, abort, list[_Entry])
            entries += page
            following = _NEXT.search(link)
            if not following:
                break
            url = urllib.parse.urljoin(url, following[1])
        else:
            raise SourceUnavailable(f"{uri}: the hub's listing has no end")
        found = [
            _info(entry, path, address._replace(revision=commit.sha, path=entry.path))
            for entry in entries
            if entry.type == "file" and (path := _below(entry.path, address.path))
        ]
        if not found:
            raise SourceNotFound(f"there is no file below {uri}: check the path in the model's repository")
        return sorted(found, key=lambda item: item.path)

    def _ask(self, url: str, uri: str, abort: Abort, kind: type[T]) -> tuple[T, str]:
        """What the hub's API answers, and the link to its next page."""
        with self._http.ask(self._request(url), uri, abort) as response:
            if response.status in (401, 403):
                raise AccessDenied(self._why_denied(uri, response.getheader("X-Error-Code") or "", response.status))
            if response.status == 404 and response.getheader("X-Error-Code") == "RevisionNotFound":
                raise SourceNotFound(f"{uri}: the model has no such revision")
            if response.status >= 300:
                raise refused(uri, response)
            content = response.read(ANSWER_BYTES_MAX)
            link = response.getheader("Link") or ""
        try:
            return msgspec.json.decode(content, type=kind), link
        except msgspec.DecodeError as error:
            raise SourceUnavailable(f"{uri}: the hub's answer is none of its API: {error}") from error

    def _why_denied(self, uri: str, code: str, status: int) -> str:
        if code == "GatedRepo":
            return f"{uri}: the model is gated: its terms must be accepted by the owner of a token (HF_TOKEN)"
        if not self._token:
            return f"{uri}: there is no such model, or only with a token (HF_TOKEN) ({status})"
        return f"{uri}: there is no such model, or not for this token (HF_TOKEN) ({status})"


def hub_address(uri: str) -> HubAddress:
    """Raises `SourceNotFound` when it is none."""
    parsed = _ADDRESS.fullmatch(uri)
    if parsed is None:
        raise SourceNotFound(f"{uri} names no model: write it like hf://owner/model or hf://owner/model:revision")
    revision = urllib.parse.unquote(parsed["revision"] or REVISION)
    return HubAddress(f"{parsed['owner']}/{parsed['name']}", revision, (parsed["path"] or "").strip("/"))


def _below(path: str, folder: str) -> str:
    """The path relative to the folder; the name of a file that is named itself; "" for one that is elsewhere."""
    if path == folder:
        return path.rpartition("/")[2]
    return path if not folder else path.removeprefix(f"{folder}/") if path.startswith(f"{folder}/") else ""


def _info(entry: _Entry, path: str, address: HubAddress) -> ObjectInfo:
    sha256 = entry.lfs.oid.removeprefix("sha256:") if entry.lfs is not None else ""
    known = bool(_SHA256.fullmatch(sha256))
    return ObjectInfo(
        path=path,
        location=str(address),
        size_bytes=entry.size,
        etag=sha256 if known else entry.oid,
        checksum=Checksum(algorithm=ChecksumAlgorithm.SHA256, value=sha256) if known else None,
    )
