"""Azure's blobs: its own client library signs, and the Blob service is asked for listings and ranges.

What the credentials may have, besides `trust`'s settings; the first of these counts that is there:

- `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET` and `AZURE_TENANT_ID`: a service principal; `AZURE_AUTHORITY_HOST` for clouds
  of their own
- `AZURE_STORAGE_ACCESS_KEY`: a key of the account
- `AZURE_STORAGE_SAS_TOKEN`: a signature that somebody else has made

And where to: `AZURE_STORAGE_ACCOUNT` for URIs that name no account; `AZURE_STORAGE_ENDPOINT` for another URL of that
account's blobs.

A model that names no credentials has those of the agent's own environment, where `AZURE_CLIENT_ID` without a secret is
a workload identity (`AZURE_FEDERATED_TOKEN_FILE`) or a managed one. Whoever names any gets none of the agent's, so that
nobody can have the agent's token sent to a server of his own. Without any, blobs are read as everybody may.

adlfs is not used: each of its file systems, with its keys, lives until the process ends, and then fails to close.
"""

from __future__ import annotations

import datetime
import re
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any, TypeAlias

from cacheagent.adapters.azure_addresses import AzureAddress, azure_address
from cacheagent.adapters.azure_listing import Blob, BlobPage, blob_page
from cacheagent.adapters.http_ranges import Abort, HttpRanges, refused
from cacheagent.adapters.http_store import HttpStore
from cacheagent.adapters.renewed import Headers, RenewedHeaders
from cacheagent.adapters.signed import SignedRequest
from cacheagent.adapters.trust import trust
from cachecore.errors import AccessDenied, SourceError, SourceNotFound, SourceUnavailable
from cachecore.ports import Credentials, ObjectInfo

SCOPE = "https://storage.azure.com/.default"
# A signature of our own is good for this long, and used for half of it.
SIGNED_SECONDS = 3600.0
PAGE_BLOBS = 5000
ANSWER_BYTES_MAX = 32 * 2**20
# Which needs a version of the protocol to be named; a signature names its own.
API_VERSION: Headers = (("x-ms-version", "2021-12-02"),)

_FAILURE = re.compile(r"AADSTS[0-9]+")

Objects: TypeAlias = list[ObjectInfo]


class AzureStore(HttpStore):
    """One set of credentials."""

    def __init__(
        self, credentials: Credentials, environment: Mapping[str, str], *, http: HttpRanges | None = None
    ) -> None:
        super().__init__("abfs", trust(credentials, environment), http)
        self._agents_own = not credentials.values
        self._own = Credentials(tuple(environment.items())) if self._agents_own else credentials
        self._account = credentials.get("AZURE_STORAGE_ACCOUNT") or environment.get("AZURE_STORAGE_ACCOUNT", "")
        endpoint = credentials.get("AZURE_STORAGE_ENDPOINT") or environment.get("AZURE_STORAGE_ENDPOINT", "")
        self._endpoint = endpoint.rstrip("/")
        self._key = self._own.get("AZURE_STORAGE_ACCESS_KEY")
        self._sas = self._own.get("AZURE_STORAGE_SAS_TOKEN").lstrip("?")
        self._by_identity = bool(
            self._own.get("AZURE_CLIENT_SECRET")
            or (self._agents_own and self._own.get("AZURE_CLIENT_ID") and not self._key and not self._sas)
        )
        self._identity: Any = None
        self._bearer = RenewedHeaders(lambda renew: self._in_thread(lambda abort: self._authorize(renew=renew)))
        self._signatures: dict[tuple[str, str], tuple[str, float]] = {}

    async def list(self, uri: str) -> Objects:
        address = azure_address(uri)
        try:
            found = await self._list_with(uri, address, fresh=False)
        except AccessDenied:
            if not (self._by_identity or self._key):
                raise
            found = await self._list_with(uri, address, fresh=True)
        if not found:
            raise SourceNotFound(f"there is no blob below {uri}: check the container and the prefix")
        return sorted(found, key=lambda item: item.path)

    async def sign(self, source: ObjectInfo, *, fresh: bool = False) -> SignedRequest:
        address = azure_address(source.location)
        pinned = (("If-Match", f'"{source.etag}"'),) if source.etag else ()
        path = urllib.parse.quote(address.path, safe="/")
        return await self._request(address, f"/{path}", pinned, fresh=fresh)

    async def close(self) -> None:
        await super().close()
        identity, self._identity = self._identity, None
        if identity is not None:
            identity.close()

    async def _request(
        self, address: AzureAddress, path: str, headers: Headers = (), *, query: str = "", fresh: bool = False
    ) -> SignedRequest:
        account, base = self._place(address)
        signature = ""
        if self._by_identity:
            headers = (*headers, *API_VERSION, *await self._bearer.get(fresh=fresh))
        elif self._key:
            signature = await self._signature(account, address.container, fresh=fresh)
        elif self._sas:
            signature = self._sas
        else:
            headers = (*headers, *API_VERSION)
        asked = "&".join(text for text in (query, signature) if text)
        url = f"{base}/{address.container}{path}{'?' if asked else ''}{asked}"
        return SignedRequest(url=url, headers=headers, tls=self._tls)

    def _place(self, address: AzureAddress) -> tuple[str, str]:
        """The account, and the URL of its blobs."""
        account = address.account or self._account
        if self._endpoint and account == self._account:
            return account, self._endpoint
        if not account:
            raise SourceNotFound(
                f"{address} names no storage account: write abfs://container@account.dfs.core.windows.net/model, "
                "or put AZURE_STORAGE_ACCOUNT into the secret"
            )
        return account, f"https://{address.host or f'{account}.blob.core.windows.net'}"

    async def _list_with(self, uri: str, address: AzureAddress, *, fresh: bool) -> Objects:
        key = address.path.rstrip("/")
        prefix = f"{key}/" if key else ""
        found: Objects = []
        marker = ""
        while True:
            page = await self._page(uri, address, fresh=fresh, prefix=prefix, marker=marker)
            found += [_info(address, blob, blob.name[len(prefix) :]) for blob in page.blobs]
            marker, fresh = page.marker, False
            if not marker:
                break
        if found or not key:
            return found
        # The URI may name one blob: the first by name of those that begin with it.
        page = await self._page(uri, address, prefix=key, maxresults="1")
        return [_info(address, blob, key.rpartition("/")[2]) for blob in page.blobs if blob.name == key]

    async def _page(self, uri: str, address: AzureAddress, *, fresh: bool = False, **asked: str) -> BlobPage:
        parameters = {"restype": "container", "comp": "list", "include": "metadata", "maxresults": str(PAGE_BLOBS)}
        parameters.update({name: value for name, value in asked.items() if value})
        request = await self._request(address, "", query=urllib.parse.urlencode(parameters), fresh=fresh)
        anonymous = not (self._by_identity or self._key or self._sas)

        def work(abort: Abort) -> BlobPage:
            with self._http.ask(request, uri, abort) as response:
                if anonymous and response.status in (401, 403, 404, 409):
                    # Azure says 404 of what only others may see, and 409 of an account where nobody may.
                    raise AccessDenied(f"{uri} can't be read without credentials, or isn't there ({response.status})")
                if response.status == 404:
                    raise SourceNotFound(f"{uri}: there is no container {address.container}")
                if response.status >= 300:
                    raise refused(uri, response)
                content = response.read(ANSWER_BYTES_MAX)
            try:
                return blob_page(content)
            except ValueError as error:
                raise SourceUnavailable(f"{uri}: the answer is no listing: {error}") from error

        return await self._in_thread(work)

    async def _signature(self, account: str, container: str, *, fresh: bool) -> str:
        """For the container: it may be listed and read with it."""
        if not account:
            raise AccessDenied("the account of AZURE_STORAGE_ACCESS_KEY is not named: AZURE_STORAGE_ACCOUNT is missing")
        known = (account, container)
        signature, until_seconds = self._signatures.get(known, ("", 0.0))
        if fresh or time.monotonic() >= until_seconds:
            signature = await self._in_thread(lambda abort: _signed(account, container, self._key))
            self._signatures[known] = (signature, time.monotonic() + SIGNED_SECONDS / 2)
        return signature

    def _authorize(self, *, renew: bool) -> Headers:
        """In a thread: Azure's library waits for its servers. One that is to renew is made anew: it has a memory."""
        try:
            if renew and self._identity is not None:
                self._identity.close()
                self._identity = None
            if self._identity is None:
                self._identity = _identity(self._own)
            token = self._identity.get_token(SCOPE).token
        except Exception as error:  # noqa: BLE001
            # Without its cause: a traceback is no place for what a token's server says.
            raise _no_token(error) from None
        return (("Authorization", f"Bearer {token}"),)


def _info(address: AzureAddress, blob: Blob, path: str) -> ObjectInfo:
    return ObjectInfo(
        path=path,
        location=str(address._replace(path=blob.name)),
        size_bytes=blob.size_bytes,
        etag=blob.etag,
        checksum=blob.checksum,
    )


def _signed(account: str, container: str, key: str) -> str:
    from azure.storage.blob import generate_container_sas

    expiry = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=SIGNED_SECONDS)
    try:
        return generate_container_sas(account, container, account_key=key, permission="rl", expiry=expiry)
    except Exception as error:  # noqa: BLE001
        raise AccessDenied(f"AZURE_STORAGE_ACCESS_KEY is no key ({type(error).__name__})") from None


def _identity(own: Credentials) -> Any:
    from azure.identity import ClientSecretCredential, ManagedIdentityCredential, WorkloadIdentityCredential

    client_id, tenant_id = own.get("AZURE_CLIENT_ID"), own.get("AZURE_TENANT_ID")
    options = {"authority": own.get("AZURE_AUTHORITY_HOST")} if own.get("AZURE_AUTHORITY_HOST") else {}
    secret = own.get("AZURE_CLIENT_SECRET")
    if secret:
        if not (client_id and tenant_id):
            raise AccessDenied("with AZURE_CLIENT_SECRET, AZURE_CLIENT_ID and AZURE_TENANT_ID are needed")
        return ClientSecretCredential(tenant_id, client_id, secret, **options)
    file = own.get("AZURE_FEDERATED_TOKEN_FILE")
    if file:
        return WorkloadIdentityCredential(tenant_id=tenant_id, client_id=client_id, token_file_path=file, **options)
    return ManagedIdentityCredential(client_id=client_id)


def _no_token(error: Exception) -> SourceError:
    """Why there is none, in words of ours: the library's could quote the secret."""
    if isinstance(error, SourceError):
        return error
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"ServiceRequestError", "ServiceResponseError"}:
        return SourceUnavailable("Azure's server of tokens can't be reached")
    found = _FAILURE.search(str(error))
    why = found[0] if found else type(error).__name__
    return AccessDenied(f"the Azure credentials give no token ({why}): check AZURE_CLIENT_ID and its secret")
