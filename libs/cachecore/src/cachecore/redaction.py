"""Texts of other people's making (errors of libraries, tracebacks) without what would let their reader in."""

from __future__ import annotations

import re

HIDDEN = "(hidden)"

# The parameters that sign a URL: those of S3, Google, Azure and CloudFront, and what others call theirs.
_PARAMETERS = (
    r"x-amz-[a-z-]+|x-goog-[a-z-]+|[a-z_-]*(?:signature|token|secret|password|api_?key|credential)|"
    r"sig|awsaccesskeyid|googleaccessid|policy|key-pair-id"
)
_PATTERNS = (
    (re.compile(rf"([?&;](?:{_PARAMETERS})=)[^&;\s\"'<>\\)\]]+", re.IGNORECASE), rf"\g<1>{HIDDEN}"),
    # The user and the password of a URL.
    (re.compile(r"(://)[^/\s\"'@?#]+@"), rf"\g<1>{HIDDEN}@"),
    # Headers, as they are written on the wire, in JSON and by Python.
    (
        re.compile(
            r"((?:authorization|cookie|x-[a-z-]*(?:token|key))(?:\\?[\"']?\s*[:=]|\\?[\"']\s*,)\s*b?\\?[\"']?)[^\"'\\<>\r\n]+",
            re.IGNORECASE,
        ),
        rf"\g<1>{HIDDEN}",
    ),
    (re.compile(r"\b(bearer )[a-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\g<1>{HIDDEN}"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^\"'<>]*"), HIDDEN),
)


def redact(text: str) -> str:
    """The text with signatures, tokens, passwords, credential headers and private keys hidden."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
