"""How a thread reads an object without waiting for the store: by a URL that it has signed, or straight from it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import msgspec

from cachecore.ports import Checksum, ObjectInfo, Part


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


class Stream(Protocol):
    """The bytes of one part. `told` is what comes with them of a whole object."""

    told: Checksum | None

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer, or as much of it as is left of the part: 0 at its end. Raises the `SourceError` branch."""
        ...


@runtime_checkable
class StreamingStore(Protocol):
    """An `ObjectStore` whose objects a thread can read by itself."""

    def open_part(self, part: Part) -> AbstractContextManager[Stream]:
        """Raises the `SourceError` branch."""
        ...


@runtime_checkable
class SigningStore(Protocol):
    """An `ObjectStore` that can also sign."""

    async def sign(self, source: ObjectInfo, *, fresh: bool = False) -> SignedRequest | None:
        """A request that is good for the minutes that one part takes; None when this store can't sign.

        `fresh`: the last one was refused, so nothing that is remembered will do. Raises the `SourceError` branch.
        """
        ...
