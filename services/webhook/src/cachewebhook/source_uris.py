"""What a URI must have so that an agent could download from it, in words that say what is missing. Pure."""

from __future__ import annotations

SUPPORTED_SCHEMES = ("s3", "gs", "abfs", "hf", "http", "https", "file")
# What comes first in a URI, where it may not be absent.
_PLACES = {"s3": "bucket", "gs": "bucket", "abfs": "container", "hf": "owner", "http": "host", "https": "host"}
_EXAMPLES = {
    "s3": "s3://bucket/model",
    "gs": "gs://bucket/model",
    "abfs": "abfs://container/model",
    "hf": "hf://owner/model",
    "http": "http://host/model.bin",
    "https": "https://host/model.bin",
    "file": "file:///folder/model",
}


def uri_problem(uri: str, *, namespaced: bool) -> str:
    """The URI and what is wrong with it; "" when an agent may try. `namespaced`: the cache is one of a namespace."""
    scheme, separator, rest = uri.partition("://")
    if not separator or not scheme:
        return f"{uri!r} has no scheme: write it like {_EXAMPLES['s3']}"
    if scheme == "pvc":
        return f"{uri} is a claim, which pods mount without a cache"
    if scheme not in SUPPORTED_SCHEMES:
        return f"{uri}: no driver for {scheme}://; use one of {', '.join(SUPPORTED_SCHEMES)}"
    missing = _missing_part(scheme, rest)
    if missing:
        return f"{uri} names no {missing}: write it like {_EXAMPLES[scheme]}"
    if scheme == "file" and namespaced:
        return f"{uri} is a file of the node: only a LocalModelCache may hold it"
    return ""


def _missing_part(scheme: str, rest: str) -> str:
    """What a URI should name and does not; "" when it names all of it."""
    place, _, path = rest.partition("/")
    if not rest.strip("/") or (scheme == "hf" and not path.strip("/")):
        return "model"
    return _PLACES.get(scheme, "") if not place else ""
