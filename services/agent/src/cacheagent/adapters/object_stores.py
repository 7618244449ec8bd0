"""The `ObjectStores` port: the driver for each scheme, opened with a set of credentials."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Mapping

from cacheagent.adapters.azure_addresses import is_blob_url
from cacheagent.adapters.hf_store import HubStore
from cacheagent.adapters.local_store import LocalStore
from cacheagent.adapters.open_stores import ClosableStore, OpenStores
from cacheagent.adapters.web_store import WebStore
from cachecore.errors import UnsupportedScheme
from cachecore.ports import Credentials, ObjectStore

# The module that a scheme needs; the extra of that name of this distribution brings it.
DRIVERS = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "abfs": "azure.storage.blob",
}
# What is imported when the first model of that scheme comes.
LOADED = {
    "s3": ("cacheagent.adapters.s3_store", "s3fs"),
    "gs": ("cacheagent.adapters.gcs_store", "gcsfs"),
    "abfs": ("cacheagent.adapters.azure_store",),
}
# What needs none.
OWN = ("file", "hf", "http", "https")


class DriverStores:
    """Opens stores; `environment` is the agent's own, for models that name no credentials.

    `file_sources` is the directory below which file:// is allowed; "" for nowhere.
    """

    def __init__(self, environment: Mapping[str, str], *, file_sources: str = "") -> None:
        self._environment = dict(environment)
        self._file_sources = file_sources
        self._open = OpenStores()

    async def open(self, uri: str, credentials: Credentials) -> ObjectStore:
        scheme, separator, _ = uri.partition("://")
        if not separator:
            raise UnsupportedScheme(f"{uri!r} has no scheme; use one of {', '.join(available_schemes())}")
        if is_blob_url(uri):
            scheme = "abfs"
        known = (scheme, credentials)
        found = self._open.find(known)
        if found is None:
            if scheme in available_schemes():
                # It may take half a second, in which the loop would stand still; and memory, for which only an agent
                # that reads such a store should pay.
                for module in LOADED.get(scheme, ()):
                    await asyncio.to_thread(importlib.import_module, module)
            # Two may have come here at once.
            found = self._open.find(known) or self._open.add(known, self._make(scheme, credentials))
        return found

    async def close(self) -> None:
        await self._open.close()

    def _make(self, scheme: str, credentials: Credentials) -> ClosableStore:
        if scheme not in available_schemes():
            hint = (
                f" (the agent lacks {DRIVERS[scheme]}: install localmodel-agent[{scheme}])" if scheme in DRIVERS else ""
            )
            raise UnsupportedScheme(
                f"there is no driver for {scheme}://{hint}; there is one for {', '.join(available_schemes())}"
            )
        if scheme == "s3":
            from cacheagent.adapters.s3_store import S3Store

            return S3Store(credentials, self._environment)
        if scheme == "gs":
            from cacheagent.adapters.gcs_store import GcsStore

            return GcsStore(credentials, self._environment)
        if scheme == "abfs":
            from cacheagent.adapters.azure_store import AzureStore

            return AzureStore(credentials, self._environment)
        if scheme in ("http", "https"):
            return WebStore(credentials, self._environment)
        if scheme == "hf":
            return HubStore(credentials, self._environment)
        return LocalStore(self._file_sources)


def available_schemes() -> list[str]:
    """The schemes whose drivers are installed, or that need none; sorted."""
    return sorted([*(scheme for scheme, module in DRIVERS.items() if _is_installed(module)), *OWN])


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        # The package that it would be in.
        return False
