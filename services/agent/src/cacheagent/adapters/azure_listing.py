"""What Azure answers to List Blobs, in XML. Pure."""

from __future__ import annotations

import urllib.parse
import xml.etree.ElementTree as ET
from typing import NamedTuple

from cacheagent.checksums import from_base64
from cachecore.ports import Checksum, ChecksumAlgorithm

MD5_BYTES = 16


class Blob(NamedTuple):
    name: str
    size_bytes: int
    etag: str
    checksum: Checksum | None


class BlobPage(NamedTuple):
    """`marker` leads to the next page; "" on the last one."""

    blobs: list[Blob]
    marker: str


def blob_page(content: bytes) -> BlobPage:
    """Raises `ValueError` when it is none. An account with folders lists those too: they are left out."""
    try:
        # The store could as well send us a model of its own: it is trusted with more than this.
        root = ET.fromstring(content)  # noqa: S314
    except ET.ParseError as error:
        raise ValueError(f"no XML: {error}") from error
    if root.tag != "EnumerationResults":
        raise ValueError(f"{root.tag[:40]} instead of EnumerationResults")
    found = [_blob(item) for item in root.iterfind("Blobs/Blob") if not _is_folder(item)]
    return BlobPage(found, root.findtext("NextMarker") or "")


def _blob(item: ET.Element) -> Blob:
    name = item.find("Name")
    text = (name.text or "") if name is not None else ""
    if name is not None and name.get("Encoded") == "true":
        # What XML has no characters for.
        text = urllib.parse.unquote(text)
    return Blob(
        name=text,
        size_bytes=int(item.findtext("Properties/Content-Length") or ""),
        etag=(item.findtext("Properties/Etag") or "").strip('"'),
        checksum=_md5(item.findtext("Properties/Content-MD5") or ""),
    )


def _is_folder(item: ET.Element) -> bool:
    told = (item.findtext("Properties/ResourceType"), item.findtext("Metadata/hdi_isfolder"))
    return told[0] == "directory" or told[1] == "true"


def _md5(text: str) -> Checksum | None:
    """Of the whole blob; an upload in blocks has one only when its client has made it."""
    found = from_base64(ChecksumAlgorithm.MD5, text)
    return found if found is not None and len(found.value) == 2 * MD5_BYTES else None
