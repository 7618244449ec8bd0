"""A model hub on the loopback interface, as Hugging Face's answers, and the store that has its large files."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.parse
from typing import Any

from cachesim.localcluster.testing_web import Asked, Reply, ranged

# Files from this size on are in the other store (git's large file storage).
LARGE_BYTES = 1000

_API = re.compile(r"/api/models/(?P<repository>[^/]+/[^/]+)/(?P<verb>revision|tree)/(?P<revision>[^/]+)")
_RESOLVE = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


class LargeFiles:
    """The other store: files by their SHA-256, for whoever has a signature and no token."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.signature = "1"

    def answer(self, asked: Asked) -> Reply:
        path, _, query = asked.path.partition("?")
        if query != f"X-Amz-Signature={self.signature}":
            return Reply(status=403)
        if "authorization" in asked.headers:
            return Reply(status=400)
        # Its etags are its own.
        return ranged(asked, self.contents[path.rpartition("/")[2]], {"ETag": '"of-the-other-store"'})


class Hub:
    """Commits by their names: `put` makes one, and points the revision there.

    - token: without it there is nothing, when it is not ""
    - page_files: how many files one answer lists
    - replies: come first, one per request; None for the usual answer
    """

    def __init__(self, elsewhere: LargeFiles) -> None:
        self.elsewhere = elsewhere
        self.elsewhere_url = ""
        self.token = ""
        self.error_code = "RepoNotFound"
        self.page_files = 1000
        self.replies: list[Reply | None] = []
        self._commits: dict[tuple[str, str], dict[str, bytes]] = {}
        self._revisions: dict[tuple[str, str], str] = {}

    def put(self, repository: str, files: dict[str, bytes], revision: str = "main") -> str:
        commit = hashlib.sha1(repr((repository, files)).encode(), usedforsecurity=False).hexdigest()
        self._commits[repository, commit] = files
        self._revisions[repository, revision] = commit
        for content in files.values():
            if len(content) >= LARGE_BYTES:
                self.elsewhere.contents[hashlib.sha256(content).hexdigest()] = content
        return commit

    def answer(self, asked: Asked) -> Reply:
        told = self.replies.pop(0) if self.replies else None
        if told is not None:
            return told
        if self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
            return Reply(status=401, headers={"X-Error-Code": self.error_code})
        parsed = urllib.parse.urlsplit(asked.path)
        for pattern, answer in ((_API, self._api), (_RESOLVE, self._resolve)):
            found = pattern.fullmatch(parsed.path)
            if found is None:
                continue
            revision = urllib.parse.unquote(found["revision"])
            commit = self._revisions.get((found["repository"], revision), revision)
            files = self._commits.get((found["repository"], commit))
            if files is None:
                return Reply(status=404, headers={"X-Error-Code": "RevisionNotFound"})
            return answer(asked, found, commit, files)
        return Reply(status=404)

    def _api(self, asked: Asked, found: re.Match[str], commit: str, files: dict[str, bytes]) -> Reply:
        if found["verb"] == "revision":
            return _json({"id": found["repository"], "sha": commit})
        first = int(dict(urllib.parse.parse_qsl(asked.path.partition("?")[2])).get("cursor", "0"))
        entries = [{"type": "directory", "path": "sub", "oid": "0" * 40, "size": 0}]
        entries += [_entry(path, content) for path, content in sorted(files.items())]
        headers = {}
        if first + self.page_files < len(entries):
            place = f"http://{asked.headers['host']}{asked.path.partition('?')[0]}"
            headers["Link"] = f'<{place}?recursive=true&cursor={first + self.page_files}>; rel="next"'
        return _json(entries[first : first + self.page_files], headers)

    def _resolve(self, asked: Asked, found: re.Match[str], commit: str, files: dict[str, bytes]) -> Reply:
        path = urllib.parse.unquote(found["path"])
        if path not in files:
            return Reply(status=404, headers={"X-Error-Code": "EntryNotFound"})
        content = files[path]
        headers = {"X-Repo-Commit": commit}
        if len(content) < LARGE_BYTES:
            return ranged(asked, content, {**headers, "ETag": f'"{_git_name(content)}"'})
        sha256 = hashlib.sha256(content).hexdigest()
        headers["X-Linked-Etag"] = f'"{sha256}"'
        headers["X-Linked-Size"] = str(len(content))
        headers["Location"] = f"{self.elsewhere_url}/{sha256}?X-Amz-Signature={self.elsewhere.signature}"
        return Reply(status=302, headers=headers, body=b"Found. Redirecting")


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _git_name(content)}
    if len(content) >= LARGE_BYTES:
        oid = hashlib.sha256(content).hexdigest()
        entry |= {"lfs": {"oid": oid, "size": len(content), "pointerSize": 134}, "xetHash": "0" * 64}
    return entry


def _git_name(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _json(content: object, headers: dict[str, str] | None = None) -> Reply:
    return Reply(headers={"Content-Type": "application/json", **(headers or {})}, body=json.dumps(content).encode())
