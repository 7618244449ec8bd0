"""Which servers a store believes: those that the system's certificates vouch for, and those of a bundle that is named.

- `CA_BUNDLE`: certificates in PEM, or the path of a file with them; `CA_BUNDLE_PEM` likewise
- `VERIFY_SSL`: `false` or `0` believes anyone

Credentials may have them; the agent's own environment has them for all that don't.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Mapping
from pathlib import Path

from cachecore.errors import AccessDenied
from cachecore.ports import Credentials

_PEM_BEGIN = "-----BEGIN"


def trust(credentials: Credentials, environment: Mapping[str, str]) -> ssl.SSLContext:
    """Raises `AccessDenied` when the bundle is none."""

    def setting(name: str) -> str:
        return credentials.get(name) or environment.get(name, "")

    if setting("VERIFY_SSL").strip().lower() in ("0", "false"):
        return believing_anyone()
    bundle = setting("CA_BUNDLE_PEM") or setting("CA_BUNDLE")
    try:
        if bundle and _PEM_BEGIN not in bundle:
            bundle = Path(bundle).read_text("utf-8", "ignore")
        return _believing(bundle)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", "") or "it holds no certificate in PEM"
        raise AccessDenied(f"the CA bundle can't be used: {why}") from None


# One for all that trust the same: connections are kept by it, and rotated tokens go on with those that are open.
@functools.lru_cache(maxsize=16)
def _believing(pem: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if pem:
        # Comments name authorities as their countries spell them.
        context.load_verify_locations(cadata=pem.encode("ascii", "ignore").decode())
    return context


@functools.lru_cache(maxsize=1)
def believing_anyone() -> ssl.SSLContext:
    """For who has turned the verification off."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
