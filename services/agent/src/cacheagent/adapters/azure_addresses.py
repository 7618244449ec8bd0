"""How the blobs of Azure are named: by `abfs://`, and by the URLs of an account's blobs, which KServe takes as well.

- `abfs://container/path`: in the account that `AZURE_STORAGE_ACCOUNT` names
- `abfs://container@account.dfs.core.windows.net/path`
- `https://account.blob.core.windows.net/container/path`

Pure.
"""

from __future__ import annotations

import re
import urllib.parse
from typing import NamedTuple

from cachecore.errors import AccessDenied, SourceNotFound

# Azure's own hosts alone: no other is told a token.
_HOST = re.compile(
    r"[a-z0-9]{3,24}\."
    r"(?:(?:blob|dfs)\.core\.(?:windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)"
    r"|z[0-9]{1,2}\.(?:blob|dfs)\.storage\.azure\.net)"
)
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}|\$root|\$web")


class AzureAddress(NamedTuple):
    """`host` is that of the account's blobs; "" for the account that the credentials name."""

    container: str
    host: str
    path: str

    @property
    def account(self) -> str:
        return self.host.partition(".")[0]

    def __str__(self) -> str:
        host = f"@{self.host}" if self.host else ""
        return f"abfs://{self.container}{host}/{self.path}"


def is_blob_url(uri: str) -> bool:
    """Whether an https URL is one of Azure's blobs, so that it may be a folder."""
    scheme, _, rest = uri.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].lower()
    return scheme == "https" and ".blob." in host and _HOST.fullmatch(host) is not None


def azure_address(uri: str) -> AzureAddress:
    """Raises `SourceNotFound` when it is none."""
    scheme, _, rest = uri.partition("://")
    place, _, path = rest.partition("/")
    if scheme == "https":
        if "?" in path:
            # Without the URI: it holds a secret.
            raise AccessDenied(
                "the URI has a query, and a signature there (a SAS token) would be seen by all: "
                "put it into the secret as AZURE_STORAGE_SAS_TOKEN"
            )
        host = place.lower()
        container, _, path = urllib.parse.unquote(path).partition("/")
    else:
        container, _, host = place.partition("@")
        host = host.lower().replace(".dfs.", ".blob.")
    if host and _HOST.fullmatch(host) is None:
        raise SourceNotFound(f"{uri} is no address: {host} is no storage account of Azure's")
    if _CONTAINER.fullmatch(container) is None:
        raise SourceNotFound(
            f"{uri} names no container: write it like abfs://container/model or "
            "abfs://container@account.dfs.core.windows.net/model"
        )
    return AzureAddress(container, host, path)
