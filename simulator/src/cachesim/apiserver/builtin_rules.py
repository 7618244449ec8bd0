"""What the built-in kinds must have, and what of them may not change: the checks that clients run into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachesim.apiserver.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid,
    not_found_field,
    required,
)
from cachesim.apiserver.metadata import name_error, prune_metadata
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.webhook_rules import check_webhooks

_Check = Callable[[JsonObject, JsonObject | None], list[FieldError]]

_NOT_VOLUME_SOURCES = frozenset(
    {
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    }
)
_POD_RULE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_CLAIM_RULE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)


_FIELDS: dict[str, frozenset[str]] = {
    kind: frozenset(fields.split())
    for kind, fields in {
        "ConfigMap": "data binaryData immutable",
        "Secret": "data stringData type immutable",
        "ServiceAccount": "secrets imagePullSecrets automountServiceAccountToken",
        "StorageClass": "provisioner parameters reclaimPolicy mountOptions allowVolumeExpansion volumeBindingMode "
        "allowedTopologies",
        "MutatingWebhookConfiguration": "webhooks",
        "ValidatingWebhookConfiguration": "webhooks",
        "Lease": "spec",
        "Event": "involvedObject reason message source firstTimestamp lastTimestamp count type eventTime series action "
        "related reportingComponent reportingInstance",
    }.items()
}
_SPEC_AND_STATUS = frozenset({"spec", "status"})
_OF_EVERY_KIND = frozenset({"apiVersion", "kind", "metadata"})


class BuiltinRules:
    """The checks of one built-in kind. Only at the top, and in the metadata, are its objects pruned."""

    def __init__(self, kind: str, check: _Check) -> None:
        self._fields = _FIELDS.get(kind, _SPEC_AND_STATUS) | _OF_EVERY_KIND
        self._check = check

    def decode(self, item: JsonObject, previous: JsonObject | None) -> tuple[JsonObject, list[str]]:
        unknown = [field for field in item if field not in self._fields]
        if unknown:
            item = {field: value for field, value in item.items() if field in self._fields}
        return prune_metadata(item, unknown), sorted(unknown)

    def validate(self, item: JsonObject, previous: JsonObject | None) -> list[FieldError]:
        return self._check(item, previous)


def builtin_rules(resource_type: ResourceType) -> BuiltinRules:
    return BuiltinRules(resource_type.kind, _CHECKS.get((resource_type.group, resource_type.kind), _accept))


def _accept(item: JsonObject, previous: JsonObject | None) -> list[FieldError]:
    return []


def _check_pod(item: JsonObject, previous: JsonObject | None) -> list[FieldError]:
    spec = item.get("spec") or {}
    if previous is None:
        return _pod_errors(spec)
    quality, decided = ((pod.get("status") or {}).get("qosClass") for pod in (item, previous))
    if decided and quality != decided:
        return [invalid("status.qosClass", quality, "field is immutable")]
    before = previous.get("spec") or {}
    if spec is before or _pod_essence(spec, before) == _pod_essence(before, before):
        return []
    return [forbidden_field("spec", _POD_RULE)]


def _pod_errors(spec: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    volumes = [volume.get("name") for volume in spec.get("volumes") or []]
    errors += [
        duplicate(f"spec.volumes[{index}].name", name) for index, name in enumerate(volumes) if name in volumes[:index]
    ]
    if not spec.get("containers"):
        errors.append(required("spec.containers"))
    names: list[str] = []
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or []):
            errors += _container_errors(container, f"spec.{field}[{index}]", names, volumes)
    return errors


def _container_errors(container: JsonObject, path: str, names: list[str], volumes: list[Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    name = container.get("name")
    if not name:
        errors.append(required(f"{path}.name"))
    else:
        wrong = name_error(f"{path}.name", name, label=True)
        errors += [wrong] if wrong else []
        errors += [duplicate(f"{path}.name", name)] if name in names else []
        names.append(name)
    if not container.get("image"):
        errors.append(required(f"{path}.image"))
    paths: list[str] = []
    for index, mount in enumerate(container.get("volumeMounts") or []):
        place = f"{path}.volumeMounts[{index}]"
        if mount.get("name") not in volumes:
            errors.append(not_found_field(f"{place}.name", mount.get("name")))
        if not mount.get("mountPath"):
            errors.append(required(f"{place}.mountPath"))
        elif mount["mountPath"] in paths:
            errors.append(invalid(f"{place}.mountPath", mount["mountPath"], "must be unique"))
        paths.append(mount.get("mountPath", ""))
    return errors


def _pod_essence(spec: JsonObject, before: JsonObject) -> JsonObject:
    """What of a pod's spec can't change. A pod without node may get one: a real scheduler binds, others patch."""
    essence = {key: value for key, value in spec.items() if key not in ("activeDeadlineSeconds", "schedulingGates")}
    for field in ("containers", "initContainers"):
        if field in essence:
            essence[field] = [{key: value for key, value in each.items() if key != "image"} for each in essence[field]]
    if not before.get("nodeName"):
        essence.pop("nodeName", None)
    tolerations = spec.get("tolerations") or []
    kept = [each for each in before.get("tolerations") or [] if each in tolerations]
    essence["tolerations"] = kept
    return essence


def _check_volume(item: JsonObject, previous: JsonObject | None) -> list[FieldError]:
    spec = item.get("spec") or {}
    source = {key: value for key, value in spec.items() if key not in _NOT_VOLUME_SOURCES}
    errors: list[FieldError] = []
    if not spec.get("accessModes"):
        errors.append(required("spec.accessModes"))
    if not spec.get("capacity"):
        errors.append(required("spec.capacity"))
    if not source:
        errors.append(required("spec", "must specify a volume type"))
    if len(source) > 1:
        errors.append(forbidden_field(f"spec.{max(source)}", "may not specify more than 1 volume type"))
    if "local" in source and not spec.get("nodeAffinity"):
        errors.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    if previous is None or previous.get("spec") is spec:
        return errors
    before = previous.get("spec") or {}
    if source != {key: value for key, value in before.items() if key not in _NOT_VOLUME_SOURCES}:
        detail = "spec.persistentvolumesource is immutable after creation"
        errors.append(forbidden_field("spec.persistentvolumesource", detail))
    if before.get("nodeAffinity") and spec.get("nodeAffinity") != before["nodeAffinity"]:
        detail = "field is immutable, except for updating from beta label to GA"
        errors.append(invalid("nodeAffinity", spec.get("nodeAffinity"), detail))
    if spec.get("volumeMode") != before.get("volumeMode"):
        errors.append(invalid("spec.volumeMode", spec.get("volumeMode"), "field is immutable"))
    return errors


def _check_claim(item: JsonObject, previous: JsonObject | None) -> list[FieldError]:
    spec = item.get("spec") or {}
    errors: list[FieldError] = []
    if not spec.get("accessModes"):
        errors.append(required("spec.accessModes", "at least 1 access mode is required"))
    if not ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
        errors.append(required("spec.resources[storage]"))
    if previous is None or previous.get("spec") is spec:
        return errors
    before = previous.get("spec") or {}
    changed = [key for key in spec.keys() | before.keys() if spec.get(key) != before.get(key)]
    if any(key != "resources" and before.get(key) for key in changed) or (
        set(changed) - {"resources", "volumeName", "storageClassName"}
    ):
        errors.append(forbidden_field("spec", _CLAIM_RULE))
    return errors


def _check_event(item: JsonObject, previous: JsonObject | None) -> list[FieldError]:
    """An event lives in its object's namespace; that of an object of cluster scope in `default`."""
    involved = (item.get("involvedObject") or {}).get("namespace") or ""
    namespace = item["metadata"].get("namespace", "")
    allowed = (involved,) if involved else ("default", "kube-system")
    if namespace in allowed:
        return []
    return [invalid("involvedObject.namespace", involved, "does not match event.namespace")]


def _check_content(item: JsonObject, previous: JsonObject | None) -> list[FieldError]:
    """Secrets and ConfigMaps: an immutable one keeps what it holds, and a secret its type."""
    if previous is None:
        return []
    errors: list[FieldError] = []
    if item.get("type") != previous.get("type"):
        errors.append(invalid("type", item.get("type"), "field is immutable"))
    if previous.get("immutable"):
        detail = "field is immutable when `immutable` is set"
        fields = ("data", "binaryData", "immutable")
        errors += [forbidden_field(each, detail) for each in fields if item.get(each) != previous.get(each)]
    return errors


def _check_lease(item: JsonObject, previous: JsonObject | None) -> list[FieldError]:
    spec = item.get("spec") or {}
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    errors: list[FieldError] = []
    if duration is not None and duration <= 0:
        errors.append(invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    if transitions is not None and transitions < 0:
        errors.append(invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
    return errors


_CHECKS: dict[tuple[str, str], _Check] = {
    ("", "Pod"): _check_pod,
    ("", "PersistentVolume"): _check_volume,
    ("", "PersistentVolumeClaim"): _check_claim,
    ("", "Event"): _check_event,
    ("", "Secret"): _check_content,
    ("", "ConfigMap"): _check_content,
    ("coordination.k8s.io", "Lease"): _check_lease,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): check_webhooks,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): check_webhooks,
}
