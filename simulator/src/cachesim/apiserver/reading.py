"""Lists: pages that stay consistent, exact and minimum revisions."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable

import msgspec

from cachecore.errors import ApiUnavailable, Expired
from cachesim.apiserver.context import Context
from cachesim.apiserver.errors import bad_request, expired_continue, too_large_revision
from cachesim.apiserver.option_rules import check_list_options
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.selectors import Selection
from cachesim.apiserver.store import Key, key_of


class Page(msgspec.Struct, frozen=True):
    """A continue token: the revision of the first page (-1: whatever is there now), and the last key returned."""

    revision: int
    namespace: str
    name: str

    def encode(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def decode(cls, token: str) -> Page:
        try:
            padded = token + "=" * (-len(token) % 4)
            return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=cls)
        except (ValueError, msgspec.MsgspecError) as error:
            raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error


class Reader:
    """The list verb."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def list(
        self,
        resource_type: ResourceType,
        selection: Selection,
        *,
        limit: int,
        continue_token: str,
        resource_version: str,
        resource_version_match: str,
    ) -> JsonObject:
        check_list_options(resource_version, resource_version_match, continue_token)
        revision, after = self._context.store.revision, None
        if continue_token:
            page = Page.decode(continue_token)
            if resource_version not in ("", "0"):
                raise bad_request("specifying resource version is not allowed when using continue")
            revision, after = page.revision if page.revision >= 0 else revision, page
        elif resource_version not in ("", "0"):
            # Without a match, a first page is one of exactly that revision, a whole list one not older than it.
            exact = resource_version_match == "Exact" or (not resource_version_match and limit > 0)
            revision = self._requested_revision(resource_version, exact)
        selected = self._selected(resource_type, selection, revision, after)
        if after is not None:
            key = (after.namespace, after.name)
            selected = (item for item in selected if key_of(item) > key)
        return self._page(resource_type, selection, selected, revision, limit)

    def _requested_revision(self, resource_version: str, exact: bool) -> int:
        current = self._context.store.revision
        requested = parse_revision(resource_version)
        if requested > current:
            raise too_large_revision(requested, current)
        return requested if exact else current

    def _selected(
        self, resource_type: ResourceType, selection: Selection, revision: int, page: Page | None
    ) -> Iterable[JsonObject]:
        table = self._context.store.table(resource_type)
        if table.changed_revision <= revision and table.compacted_revision <= revision:
            return table.select(selection)
        try:
            state = table.state_at(revision)
        except Expired as error:
            if page is not None:
                raise expired_continue(Page(-1, page.namespace, page.name).encode()) from error
            raise
        return (item for item in state.values() if selection.matches(item))

    def _page(
        self,
        resource_type: ResourceType,
        selection: Selection,
        selected: Iterable[JsonObject],
        revision: int,
        limit: int,
    ) -> JsonObject:
        metadata: JsonObject = {"resourceVersion": str(revision)}
        if limit <= 0:
            items = list(selected)
        else:
            iterator = iter(selected)
            items = list(itertools.islice(iterator, limit))
            remaining = sum(1 for _ in iterator)
            if remaining:
                last: Key = key_of(items[-1])
                metadata["continue"] = Page(revision, last[0], last[1]).encode()
                if not selection.narrows:
                    metadata["remainingItemCount"] = remaining
        return {
            "kind": resource_type.list_kind,
            "apiVersion": resource_type.api_version,
            "metadata": metadata,
            "items": items,
        }


def parse_revision(text: str) -> int:
    """Raises the 400 of a list's resourceVersion that is no number."""
    if not text.isdigit():
        raise bad_request(f"invalid resource version: {_no_number(text)}")
    return int(text)


def parse_watch_revision(text: str) -> int:
    """The same of a watch is a 500 without reason: nobody gave that error a code."""
    if not text.isdigit():
        raise ApiUnavailable(_no_number(text), status_code=500, reason="")
    return int(text)


def _no_number(text: str) -> str:
    return f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
