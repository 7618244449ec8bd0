"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902) over objects that nobody changes in place."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from cachecore.errors import Invalid
from cachesim.apiserver.errors import bad_request
from cachesim.apiserver.resources import JsonObject


def merge_patch(target: Any, patch: Any) -> Any:
    """The target with the patch merged in; what the patch does not name is shared, null removes."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(target: JsonObject, operations: Any) -> JsonObject:
    """Raises 400 for a malformed patch, 422 for one that does not fit the object."""
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    try:
        patched = jsonpatch.JsonPatch(operations).apply(target)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError) as error:
        # The real server does not say more; the cause is chained for whoever reads a traceback.
        raise Invalid("the server rejected our request due to an error in our request") from error
    if not isinstance(patched, dict):
        raise bad_request("a patch must leave an object")
    return patched
