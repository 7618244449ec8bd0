"""How Azure's blobs are named, and which hosts are Azure's."""

from __future__ import annotations

import pytest

from cacheagent.adapters.azure_addresses import azure_address, is_blob_url


@pytest.mark.parametrize(
    "uri, is_one",
    [
        ("https://acct.blob.core.windows.net/models/iris", True),
        ("https://acct.z12.blob.storage.azure.net/models/iris", True),
        ("https://acct.blob.core.windows.net.evil.example/models", False),
        ("https://evil.example/acct.blob.core.windows.net/models", False),
        ("http://acct.blob.core.windows.net/models/iris", False),
        ("https://acct.dfs.core.windows.net/models/iris", False),
    ],
)
def test_only_azures_own_hosts_hold_blobs(uri: str, is_one: bool) -> None:
    assert is_blob_url(uri) == is_one


@pytest.mark.parametrize("path", ["a@b/c.bin", "a%20b", "?#"])
def test_an_address_is_what_it_is_written_as(path: str) -> None:
    address = azure_address(f"abfs://models@acct.dfs.core.windows.net/{path}")
    assert (address.path, azure_address(str(address))) == (path, address)
