"""Following redirections: what the next host may see, and where they have led to, so that not every part asks again.

A model hub answers each request for a large file with the signed address of the file in another store. Asking it anew
for each of ten thousand parts costs a round trip each, and soon more requests than it allows.
"""

from __future__ import annotations

import threading
import time
import urllib.parse
from typing import NamedTuple

from cacheagent.adapters.signed import SignedRequest
from cachecore.errors import SourceUnavailable

REDIRECTS_MAX = 5
STATUSES = (301, 302, 303, 307, 308)
# Signed addresses are good for longer than this; one that isn't is refused, and then asked for again.
REMEMBERED_SECONDS = 300.0
REMEMBERED_MAX = 1000
# What authorizes us at one host, under whatever name, is none of another's business.
_FOR_EVERYONE = frozenset(("accept-encoding", "if-match", "if-unmodified-since", "range"))


class Hop(NamedTuple):
    """Where to ask; `elsewhere` when a redirection has led to another host than the first."""

    url: str
    elsewhere: bool = False

    def headers(self, headers: dict[str, str]) -> dict[str, str]:
        """What of the headers is sent there."""
        if not self.elsewhere:
            return headers
        return {name: value for name, value in headers.items() if name.lower() in _FOR_EVERYONE}

    def next(self, location: str, subject: str) -> Hop:
        """Where the header `Location` leads to. Raises `SourceUnavailable` when that is less safe."""
        following = urllib.parse.urljoin(self.url, location)
        here, there = urllib.parse.urlsplit(self.url), urllib.parse.urlsplit(following)
        if here.scheme == "https" and there.scheme != "https":
            raise SourceUnavailable(f"{subject}: the server sends us from https to {there.scheme}")
        return Hop(following, self.elsewhere or there.netloc != here.netloc)


class Redirections:
    """Where requests were sent to. Used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[SignedRequest, tuple[Hop, float]] = {}

    def find(self, signed: SignedRequest) -> Hop | None:
        with self._lock:
            hop, until_seconds = self._known.get(signed, (None, 0.0))
            return hop if time.monotonic() < until_seconds else None

    def remember(self, signed: SignedRequest, hop: Hop) -> None:
        now = time.monotonic()
        with self._lock:
            if len(self._known) >= REMEMBERED_MAX:
                self._known = {known: value for known, value in self._known.items() if value[1] > now}
            if len(self._known) < REMEMBERED_MAX:
                self._known[signed] = (hop, now + REMEMBERED_SECONDS)

    def forget(self, signed: SignedRequest) -> None:
        with self._lock:
            self._known.pop(signed, None)
