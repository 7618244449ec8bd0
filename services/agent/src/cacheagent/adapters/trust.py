"""Which servers a store believes: those that the system's certificates vouch for, and those of a bundle that is named.

- `CA_BUNDLE`: certificates in PEM, or the path of a file with them; `CA_BUNDLE_PEM` likewise
- `VERIFY_SSL`: `false` or `0` believes anyone

Credentials may have them; the agent's own environment has them for all that don't.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from cachecore.errors import AccessDenied
from cachecore.ports import Credentials

_PEM_BEGIN = "-----BEGIN"


def trust(credentials: Credentials, environment: Mapping[str, str]) -> ssl.SSLContext:
    """Raises `AccessDenied` when the bundle is none."""

    def setting(name: str) -> str:
        return credentials.get(name) or environment.get(name, "")

    context = ssl.create_default_context()
    if setting("VERIFY_SSL").strip().lower() in ("0", "false"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    bundle = setting("CA_BUNDLE_PEM") or setting("CA_BUNDLE")
    try:
        if _PEM_BEGIN in bundle:
            context.load_verify_locations(cadata=bundle)
        elif bundle:
            context.load_verify_locations(cafile=bundle)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", "") or "it holds no certificate in PEM"
        raise AccessDenied(f"the CA bundle can't be used: {why}") from None
    return context
