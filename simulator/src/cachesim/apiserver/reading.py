"""Lists: pages that stay consistent, exact and minimum revisions."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable

import msgspec

from cachecore.errors import ApiUnavailable, Expired
from cachesim.apiserver.context import Context
from cachesim.apiserver.errors import bad_request, expired_continue, with_details
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.selectors import Selection
from cachesim.apiserver.store import Key, key_of


class Page(msgspec.Struct, frozen=True):
    """A continue token: the revision of the first page, and the last key that was returned."""

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
            raise bad_request(f"continue key is not valid: {error}") from error


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
        store = self._context.store
        if continue_token and resource_version not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        revision, after = store.revision, None
        if continue_token:
            page = Page.decode(continue_token)
            revision, after = page.revision, (page.namespace, page.name)
        elif resource_version not in ("", "0"):
            revision = self._requested_revision(resource_version, resource_version_match)
        elif resource_version_match == "Exact":
            raise bad_request('resourceVersionMatch "Exact" is forbidden for resourceVersion "0" or unset')
        selected: Iterable[JsonObject] = self._selected(resource_type, selection, revision, bool(continue_token))
        if after is not None:
            selected = (item for item in selected if key_of(item) > after)
        return self._page(resource_type, selection, selected, revision, limit)

    def _requested_revision(self, resource_version: str, match: str) -> int:
        current = self._context.store.revision
        requested = parse_revision(resource_version)
        if requested > current:
            raise _too_large(requested, current)
        return requested if match == "Exact" else current

    def _selected(
        self, resource_type: ResourceType, selection: Selection, revision: int, continued: bool
    ) -> Iterable[JsonObject]:
        table = self._context.store.table(resource_type)
        if table.changed_revision <= revision and table.compacted_revision <= revision:
            return table.select(selection)
        try:
            state = table.state_at(revision)
        except Expired as error:
            if continued:
                raise expired_continue() from error
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
    """Raises the 400 of a resourceVersion that is no number."""
    if not text.isdigit():
        raise bad_request(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


def _too_large(requested: int, current: int) -> Exception:
    error = ApiUnavailable(
        f"Too large resource version: {requested}, current: {current}", status_code=504, reason="Timeout"
    )
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return with_details(error, {"causes": causes, "retryAfterSeconds": 1})
