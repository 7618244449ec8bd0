"""What may be asked beside the object itself: the options of each verb, refused as the real server refuses them."""

from __future__ import annotations

from cachecore.errors import ApiError
from cachesim.apiserver.errors import (
    FieldError,
    forbidden_field,
    invalid,
    invalid_object,
    too_long,
    unsupported,
)
from cachesim.apiserver.options import DeleteOptions, WriteOptions
from cachesim.apiserver.resources import ResourceType

_LONGEST_MANAGER = 128
_MATCH = "resourceVersionMatch"
_FIELD_VALIDATIONS = ["", "Ignore", "Strict", "Warn"]
_POLICIES = ["Foreground", "Background", "Orphan"]


def invalid_options(kind: str, errors: list[FieldError]) -> ApiError:
    """The 422 about a request's own options; `kind` is that of meta.k8s.io which holds them."""
    options = ResourceType(group="meta.k8s.io", version="v1", kind=kind, plural=kind.lower(), namespaced=False)
    return invalid_object(options, "", errors)


def check_list_options(resource_version: str, match: str, continue_token: str = "", initial_events: str = "") -> None:
    """`initial_events` is the text of sendInitialEvents, which only a watch may have."""
    errors: list[FieldError] = []
    if match:
        if not resource_version:
            errors.append(forbidden_field(_MATCH, f"{_MATCH} is forbidden unless resourceVersion is provided"))
        if continue_token:
            errors.append(forbidden_field(_MATCH, f"{_MATCH} is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            errors.append(unsupported(_MATCH, match, ["Exact", "NotOlderThan", ""]))
        if match == "Exact" and resource_version == "0":
            errors.append(forbidden_field(_MATCH, f'{_MATCH} "exact" is forbidden for resourceVersion "0"'))
    if initial_events:
        errors.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if errors:
        raise invalid_options("ListOptions", errors)


def check_watch_options(match: str, initial_events: str) -> None:
    errors: list[FieldError] = []
    if match:
        if not initial_events:
            detail = f"{_MATCH} is forbidden for watch unless sendInitialEvents is provided"
            errors.append(forbidden_field(_MATCH, detail))
        if match != "NotOlderThan":
            errors.append(unsupported(_MATCH, match, ["NotOlderThan"]))
    if initial_events and match != "NotOlderThan":
        detail = f"sendInitialEvents requires setting {_MATCH} to NotOlderThan"
        errors.append(forbidden_field(_MATCH, detail))
    if errors:
        raise invalid_options("ListOptions", errors)


def check_write_options(kind: str, options: WriteOptions) -> None:
    """`kind` is CreateOptions, UpdateOptions or PatchOptions."""
    errors: list[FieldError] = []
    if len(options.field_manager.encode()) > _LONGEST_MANAGER:
        errors.append(too_long("fieldManager", _LONGEST_MANAGER))
    elif not options.field_manager.isprintable():
        errors.append(invalid("fieldManager", options.field_manager, "should only contain printable characters"))
    if options.field_validation not in _FIELD_VALIDATIONS:
        errors.append(unsupported("fieldValidation", options.field_validation, _FIELD_VALIDATIONS))
    if errors:
        raise invalid_options(kind, errors)


def check_delete_options(options: DeleteOptions, *, orphans: bool = False) -> None:
    """`orphans`: orphanDependents, the older word for a policy, was said as well."""
    policy = options.propagation_policy
    errors: list[FieldError] = []
    if policy and orphans:
        errors.append(
            invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set")
        )
    elif policy and policy not in _POLICIES:
        errors.append(unsupported("propagationPolicy", policy, [*_POLICIES, "nil"]))
    if errors:
        raise invalid_options("DeleteOptions", errors)


def check_dry_run(kind: str, given: list[str]) -> bool:
    """Whether it is one. The only kind of dry run there is, is "All"."""
    if given not in ([], ["All"]):
        raise invalid_options(kind, [unsupported("dryRun", given, ["All"])])
    return bool(given)
