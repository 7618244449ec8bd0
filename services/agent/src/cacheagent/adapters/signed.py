"""What a store signs so that a thread can read an object without it: a URL, and the headers that go with it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import msgspec

from cachecore.ports import Checksum, ObjectInfo


def no_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """A store that tells nothing with an object's bytes."""
    return None


class SignedRequest(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """A GET of one version of one object. The URL holds a signature: it appears in no log, status or event.

    - headers: those that the signature or the pinning of the version needs
    - version_header: the header of the answer that must be the object's `etag`, when it is there
    - checksum_of: what the headers of an answer with the whole object (lower case) tell of its bytes
    - tls: for https, whom to trust
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    version_header: str = "etag"
    checksum_of: Callable[[Mapping[str, str]], Checksum | None] = no_checksum
    tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"SignedRequest({self.url.partition('?')[0]})"


@runtime_checkable
class SigningStore(Protocol):
    """An `ObjectStore` that can also sign."""

    async def sign(self, source: ObjectInfo, *, fresh: bool = False) -> SignedRequest | None:
        """A request that is good for the minutes that one part takes; None when this store can't sign.

        `fresh`: the last one was refused, so nothing that is remembered will do. Raises the `SourceError` branch.
        """
        ...
