"""What a set of credentials means for S3. What it leaves out comes from the agent's own environment."""

from __future__ import annotations

import functools
import os
import ssl
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cacheagent.adapters.trust import believing_anyone
from cachecore.errors import AccessDenied
from cachecore.ports import Credentials

# Its old name. For another region it redirects, which only works with the bucket in the host's name.
_GLOBAL_ENDPOINT = "https://s3.amazonaws.com"


class S3Options:
    """The file that `arguments` may name is there as long as this is."""

    def __init__(self, credentials: Credentials, environment: Mapping[str, str]) -> None:
        self._credentials = credentials
        self._environment = environment
        self._bundle = ""
        pem = credentials.get("CA_BUNDLE_PEM")
        if pem and self._verifies:
            _check_bundle(pem)
            self._bundle = _memory_file(self, pem)
        elif self._verifies:
            self._bundle = self._setting("AWS_CA_BUNDLE")

    @property
    def requester_pays(self) -> bool:
        return self._setting("AWS_REQUEST_PAYER").lower() == "requester"

    def arguments(self) -> dict[str, Any]:
        """s3fs'."""
        client: dict[str, Any] = {}
        if self._region:
            client["region_name"] = self._region
        if not self._verifies:
            client["verify"] = False
        elif self._bundle:
            client["verify"] = self._bundle
        arguments: dict[str, Any] = {"client_kwargs": client}
        if self._endpoint:
            arguments["endpoint_url"] = self._endpoint
        # Keys belong together: a session token of the agent's own must not join the keys of a secret.
        has_keys = bool(self._credentials.get("AWS_ACCESS_KEY_ID"))
        own = self._credentials if has_keys else Credentials(tuple(self._environment.items()))
        if _enabled(self._credentials.get("awsAnonymousCredential")) or (
            not has_keys and self._is_enabled("awsAnonymousCredential")
        ):
            arguments["anon"] = True
        elif own.get("AWS_ACCESS_KEY_ID"):
            arguments["key"] = own.get("AWS_ACCESS_KEY_ID")
            arguments["secret"] = own.get("AWS_SECRET_ACCESS_KEY")
            arguments["token"] = own.get("AWS_SESSION_TOKEN") or None
        return arguments

    def addressing(self) -> dict[str, Any]:
        """botocore's options of S3."""
        addressing: dict[str, Any] = {}
        elsewhere = self._endpoint == _GLOBAL_ENDPOINT and self._region not in ("", "us-east-1")
        if elsewhere or self._is_enabled("S3_USER_VIRTUAL_BUCKET"):
            addressing["addressing_style"] = "virtual"
        if self._is_enabled("S3_USE_ACCELERATE"):
            addressing["use_accelerate_endpoint"] = True
        return addressing

    def tls(self) -> ssl.SSLContext:
        """Whom the threads trust: as the driver does. Raises `AccessDenied` when the bundle is none."""
        if not self._verifies:
            return believing_anyone()
        try:
            return _believing(Path(self._bundle).read_text("utf-8", "ignore") if self._bundle else "")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", "") or "it holds no certificate in PEM"
            raise AccessDenied(f"the CA bundle {self._bundle} can't be read: {why}") from None

    @property
    def _verifies(self) -> bool:
        return self._setting("S3_VERIFY_SSL").lower() not in ("0", "false")

    @property
    def _endpoint(self) -> str:
        return self._setting("AWS_ENDPOINT_URL")

    @property
    def _region(self) -> str:
        return self._setting("AWS_DEFAULT_REGION") or self._environment.get("AWS_REGION", "")

    def _setting(self, name: str) -> str:
        return self._credentials.get(name) or self._environment.get(name, "")

    def _is_enabled(self, name: str) -> bool:
        return _enabled(self._setting(name))


def _enabled(value: str) -> bool:
    return value.lower() in ("1", "true")


# One for all that trust the same: connections are kept by it, and rotated keys go on with those that are open.
@functools.lru_cache(maxsize=16)
def _believing(pem: str) -> ssl.SSLContext:
    """Those that the bundle vouches for, or the system's certificates when there is none."""
    # Comments name authorities as their countries spell them.
    return ssl.create_default_context(cadata=pem.encode("ascii", "ignore").decode() or None)


def _check_bundle(pem: str) -> None:
    try:
        _believing(pem)
    except (OSError, ValueError):
        raise AccessDenied("the CA bundle is not the text of certificates in PEM") from None


def _memory_file(owner: object, text: str) -> str:
    """The path of a file that is on no disk and goes with its owner: botocore takes nothing but a path."""
    descriptor = os.memfd_create("ca-bundle")
    weakref.finalize(owner, os.close, descriptor)
    with os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as file:
        file.write(text)
    return f"/proc/self/fd/{descriptor}"
