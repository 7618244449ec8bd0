"""The rules of ObjectMeta: names, what may not change, what the server itself fills in."""

from __future__ import annotations

import random
import re
import uuid
from typing import Any

from cachesim.apiserver.errors import FieldError, forbidden_field, invalid, quote, required, too_long
from cachesim.apiserver.resources import JsonObject

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_PATTERN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED_PATTERN = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_DNS_LABEL = re.compile(rf"^{_LABEL}$")
_SUBDOMAIN = re.compile(rf"^{_SUBDOMAIN_PATTERN}$")
_QUALIFIED = re.compile(rf"^{_QUALIFIED_PATTERN}$")
_LABEL_VALUE = re.compile(rf"^({_QUALIFIED_PATTERN})?$")
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    rf"'{_SUBDOMAIN_PATTERN}')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_QUALIFIED_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED_PATTERN}')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'({_QUALIFIED_PATTERN})?')"
)
_FIELDS = frozenset(
    "name generateName namespace selfLink uid resourceVersion generation creationTimestamp deletionTimestamp "
    "deletionGracePeriodSeconds labels annotations ownerReferences finalizers managedFields".split()
)
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
_ANNOTATIONS_MOST_BYTES = 256 * 1024


def new_uid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def generated_name(prefix: str, chance: random.Random) -> str:
    return prefix[:58] + "".join(chance.choice(_SUFFIX_ALPHABET) for _ in range(5))


def name_error(path: str, name: str, *, label: bool) -> FieldError | None:
    """`label`: the kind's names are DNS labels (namespaces), not subdomains."""
    most = 63 if label else 253
    if len(name) > most:
        return invalid(path, name, f"must be no more than {most} bytes")
    pattern, rule = (_DNS_LABEL, _LABEL_RULE) if label else (_SUBDOMAIN, _SUBDOMAIN_RULE)
    return None if pattern.match(name) else invalid(path, name, rule)


def metadata_errors(
    metadata: JsonObject, *, names_are_labels: bool = False, standard_finalizers: bool = False
) -> list[FieldError]:
    """What is wrong with an object's metadata.

    `standard_finalizers`: one without a domain must be Kubernetes' own, as the built-in kinds demand.
    """
    errors: list[FieldError] = []
    name = metadata.get("name") or ""
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    else:
        wrong = name_error("metadata.name", name, label=names_are_labels)
        errors.extend([wrong] if wrong else [])
    errors.extend(_label_errors(metadata.get("labels") or {}))
    errors.extend(_annotation_errors(metadata.get("annotations") or {}))
    errors.extend(_owner_errors(metadata.get("ownerReferences") or []))
    errors.extend(_finalizer_errors(metadata.get("finalizers") or [], standard=standard_finalizers))
    return errors


def metadata_update_errors(metadata: JsonObject, previous: JsonObject) -> list[FieldError]:
    """What an update may not change. The fields that it left out have been carried over before."""
    errors = [
        invalid(f"metadata.{field}", metadata.get(field), "field is immutable")
        for field in (
            "name",
            "namespace",
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        )
        if metadata.get(field) != previous.get(field)
    ]
    if previous.get("deletionTimestamp"):
        before = previous.get("finalizers") or []
        added = sorted(set(metadata.get("finalizers") or []).difference(before))
        if added:
            listed = ", ".join(quote(each) for each in added)
            detail = "no new finalizers can be added if the object is being deleted, found new finalizers"
            errors.append(forbidden_field("metadata.finalizers", f"{detail} []string{{{listed}}}"))
    return errors


def prune_metadata(item: JsonObject, unknown: list[str]) -> JsonObject:
    """The object without the fields that ObjectMeta does not have; their paths are added to `unknown`."""
    metadata = item["metadata"]
    if metadata.keys() <= _FIELDS:
        return item
    unknown += [f"metadata.{field}" for field in metadata if field not in _FIELDS]
    return {**item, "metadata": {field: value for field, value in metadata.items() if field in _FIELDS}}


def carry_over(metadata: JsonObject, previous: JsonObject) -> JsonObject:
    """An update's metadata with what a client may leave out, or must not touch, taken from the stored object."""
    carried = dict(metadata)
    for field in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        if not carried.get(field) and field in previous:
            carried[field] = previous[field]
    for field in ("generation", "managedFields"):
        if field in previous:
            carried[field] = previous[field]
        else:
            carried.pop(field, None)
    carried["resourceVersion"] = previous["resourceVersion"]
    if "namespace" in previous:
        carried.setdefault("namespace", previous["namespace"])
    return without_empty(carried)


def without_empty(metadata: JsonObject) -> JsonObject:
    """ObjectMeta as the server encodes it: empty fields are left out."""
    if all(value or value == 0 for value in metadata.values()):
        return metadata
    return {key: value for key, value in metadata.items() if value or (value == 0 and value is not False)}


def _label_errors(labels: Any) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in sorted(labels):
        detail = qualified_name_fault(key)
        if detail:
            errors.append(invalid("metadata.labels", key, detail))
        value = labels[key]
        if len(value) > 63:
            errors.append(invalid("metadata.labels", value, "must be no more than 63 bytes"))
        elif not _LABEL_VALUE.match(value):
            errors.append(invalid("metadata.labels", value, _VALUE_RULE))
    return errors


def qualified_name_fault(key: str) -> str:
    """What is wrong with a label or annotation key; "" when it is well formed."""
    prefix, slash, name = key.rpartition("/")
    if slash and not prefix:
        return "prefix part must be non-empty"
    if slash and (len(prefix) > 253 or not _SUBDOMAIN.match(prefix)):
        return f"prefix part {_SUBDOMAIN_RULE}"
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 bytes"
    return "" if _QUALIFIED.match(name) else _QUALIFIED_RULE


def _annotation_errors(annotations: Any) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in sorted(annotations):
        detail = qualified_name_fault(key.lower())
        if detail:
            errors.append(invalid("metadata.annotations", key, detail))
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS_MOST_BYTES:
        errors.append(too_long("metadata.annotations", _ANNOTATIONS_MOST_BYTES))
    return errors


def _owner_errors(references: list[JsonObject]) -> list[FieldError]:
    errors: list[FieldError] = []
    controllers: list[str] = []
    for reference in references:
        if not reference.get("apiVersion"):
            errors.append(invalid("metadata.ownerReferences.apiVersion", "", "version must not be empty"))
        missing = [field for field in ("kind", "name", "uid") if not reference.get(field)]
        errors += [invalid(f"metadata.ownerReferences.{field}", "", "must not be empty") for field in missing]
        if reference.get("controller"):
            controllers.append(f"{reference.get('kind')}/{reference.get('name')}")
    if len(controllers) > 1:
        first, second = controllers[:2]
        detail = (
            f'Only one reference can have Controller set to true. Found "true" in references for {first} and {second}'
        )
        errors.append(invalid("metadata.ownerReferences", references, detail))
    return errors


def _finalizer_errors(finalizers: list[str], *, standard: bool) -> list[FieldError]:
    errors = [
        invalid("metadata.finalizers", finalizer, fault)
        for finalizer in finalizers
        if (fault := qualified_name_fault(finalizer))
    ]
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        errors.append(invalid("metadata.finalizers", finalizers, detail))
    detail = "name is neither a standard finalizer name nor is it fully qualified"
    errors += [
        invalid(f"metadata.finalizers[{index}]", finalizer, detail)
        for index, finalizer in enumerate(finalizers)
        if standard and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS
    ]
    return errors
