"""Admission in one process: the API server asks the production webhook, and each answer is tried twice (S10)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import jsonpatch
import msgspec

from cachesim.apiserver import WebhookFailure

JsonObject = dict[str, Any]
Review = Callable[[str, bytes], bytes]


class InProcessAdmission:
    """An AdmissionCaller that hands reviews to a function, with the path of the webhook's URL or service."""

    def __init__(self, review: Review, on_violation: Callable[[str, str], None]) -> None:
        self._review = review
        self._on_violation = on_violation

    async def call(self, webhook: JsonObject, review: JsonObject) -> JsonObject:
        path = _path_of(webhook["clientConfig"])
        answer = self._ask(path, review)
        patched = _patched(review["request"].get("object"), answer)
        if patched is not None:
            again = self._ask(path, {**review, "request": {**review["request"], "object": patched}})
            if _patched(patched, again) not in (None, patched):
                self._on_violation("S10", f"a second admission by {webhook['name']} changes the object again")
        return answer

    def _ask(self, path: str, review: JsonObject) -> JsonObject:
        answer = msgspec.json.decode(self._review(path, msgspec.json.encode(review)))
        if not isinstance(answer, dict):
            raise WebhookFailure(f"{path} answered no AdmissionReview")
        return answer


def _path_of(client_config: JsonObject) -> str:
    url: str = client_config.get("url", "")
    if url:
        return f"/{url.partition('://')[2].partition('/')[2]}"
    path: str = client_config["service"].get("path", "/")
    return path


def _patched(item: JsonObject | None, review: JsonObject) -> JsonObject | None:
    """The object with the review's JSON patch applied; None when there is no patch."""
    patch = review.get("response", {}).get("patch")
    if not patch or item is None:
        return None
    changed: JsonObject = jsonpatch.JsonPatch(msgspec.json.decode(base64.b64decode(patch))).apply(item)
    return changed
