"""The columns of the built-in kinds, as the real server prints them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cachecore.timestamps import parse_timestamp
from cachesim.apiserver.resources import JsonObject

Cells = Callable[[JsonObject, float], list[Any]]

_UNKNOWN = "<unknown>"
_NONE = "<none>"
_ACCESS_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_ROLE_PREFIX = "node-role.kubernetes.io/"


class Column(msgspec.Struct, frozen=True):
    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0

    def definition(self) -> JsonObject:
        """The column as a Table declares it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": self.priority,
        }


def age(timestamp: str | None, now: float) -> str:
    """How long ago, as kubectl writes it: `42s`, `5m12s`, `3h`, `2d`."""
    try:
        return _UNKNOWN if timestamp is None else duration(now - parse_timestamp(timestamp))
    except ValueError:
        return _UNKNOWN


def duration(seconds: float) -> str:
    """The fewer digits the longer it is, as k8s.io/apimachinery's HumanDuration."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _joined(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _joined(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _joined(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    years = days // 365
    return _joined(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _joined(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}" if small == 0 else f"{large}{large_unit}{small}{small_unit}"


def _name(item: JsonObject) -> str:
    return str(item["metadata"].get("name", ""))


def _created(item: JsonObject, now: float) -> str:
    return age(item["metadata"].get("creationTimestamp"), now)


def _pod(item: JsonObject, now: float) -> list[Any]:
    spec, status = item.get("spec", {}), item.get("status", {})
    statuses = status.get("containerStatuses") or []
    ready = sum(1 for each in statuses if each.get("ready"))
    restarts = sum(int(each.get("restartCount") or 0) for each in statuses)
    gates = [gate["conditionType"] for gate in spec.get("readinessGates") or []]
    return [
        _name(item),
        f"{ready}/{len(spec.get('containers') or [])}",
        pod_reason(item),
        str(restarts),
        _created(item, now),
        status.get("podIP") or _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        ",".join(gates) or _NONE,
    ]


def pod_reason(pod: JsonObject) -> str:
    """The STATUS of a pod: the most telling of its phase and its containers' states."""
    status = pod.get("status", {})
    reason = str(status.get("reason") or status.get("phase") or _UNKNOWN)
    init = _init_reason(pod)
    if init:
        reason = init
    else:
        running = False
        for each in reversed(status.get("containerStatuses") or []):
            state = each.get("state") or {}
            told = _state_reason(state)
            if told:
                reason = told
            running = running or bool(each.get("ready") and state.get("running") is not None)
        if reason == "Completed" and running:
            reason = "Running"
    if pod["metadata"].get("deletionTimestamp"):
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return reason


def _init_reason(pod: JsonObject) -> str:
    statuses = pod.get("status", {}).get("initContainerStatuses") or []
    total = len(pod.get("spec", {}).get("initContainers") or [])
    for number, each in enumerate(statuses):
        state = each.get("state") or {}
        ended = state.get("terminated")
        if ended is not None and ended.get("exitCode") == 0:
            continue
        told = _state_reason(state)
        if told and told != "PodInitializing":
            return f"Init:{told}"
        return f"Init:{number}/{total}"
    return ""


def _state_reason(state: JsonObject) -> str:
    waiting, ended = state.get("waiting"), state.get("terminated")
    if waiting and waiting.get("reason"):
        return str(waiting["reason"])
    if ended is None:
        return ""
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _node(item: JsonObject, now: float) -> list[Any]:
    status = item.get("status", {})
    labels = item["metadata"].get("labels") or {}
    information = status.get("nodeInfo") or {}
    roles = sorted(key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX))
    addresses = {each.get("type"): each.get("address") for each in status.get("addresses") or []}
    return [
        _name(item),
        _node_state(item),
        ",".join(roles) or _NONE,
        _created(item, now),
        information.get("kubeletVersion") or "",
        addresses.get("InternalIP") or _NONE,
        addresses.get("ExternalIP") or _NONE,
        information.get("osImage") or _UNKNOWN,
        information.get("kernelVersion") or _UNKNOWN,
        information.get("containerRuntimeVersion") or _UNKNOWN,
    ]


def _node_state(item: JsonObject) -> str:
    conditions = {each.get("type"): each.get("status") for each in item.get("status", {}).get("conditions") or []}
    ready = conditions.get("Ready")
    state = "Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"
    return f"{state},SchedulingDisabled" if item.get("spec", {}).get("unschedulable") else state


def _access_modes(modes: list[str] | None) -> str:
    return ",".join(_ACCESS_MODES.get(mode, mode) for mode in modes or [])


def _volume(item: JsonObject, now: float) -> list[Any]:
    spec = item.get("spec", {})
    claim = spec.get("claimRef") or {}
    phase = "Terminating" if item["metadata"].get("deletionTimestamp") else item.get("status", {}).get("phase", "")
    return [
        _name(item),
        (spec.get("capacity") or {}).get("storage", ""),
        _access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        phase,
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or "<unset>",
        item.get("status", {}).get("reason", ""),
        _created(item, now),
        spec.get("volumeMode") or "Filesystem",
    ]


def _claim(item: JsonObject, now: float) -> list[Any]:
    spec, status = item.get("spec", {}), item.get("status", {})
    bound = bool(spec.get("volumeName")) and bool(status.get("capacity"))
    return [
        _name(item),
        "Terminating" if item["metadata"].get("deletionTimestamp") else status.get("phase", ""),
        spec.get("volumeName", ""),
        status["capacity"].get("storage", "") if bound else "",
        _access_modes(status.get("accessModes")) if bound else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or "<unset>",
        _created(item, now),
        spec.get("volumeMode") or "Filesystem",
    ]


def _event(item: JsonObject, now: float) -> list[Any]:
    involved, source = item.get("involvedObject") or {}, item.get("source") or {}
    first = age(item.get("firstTimestamp") or item.get("eventTime"), now)
    last = age(item.get("lastTimestamp") or item.get("eventTime") or item.get("firstTimestamp"), now)
    count = int(item.get("count") or 1)
    component = source.get("component") or item.get("reportingComponent") or ""
    host = source.get("host") or item.get("reportingInstance") or ""
    return [
        f"{last} (x{count} over {first})" if count > 1 else last,
        item.get("type", ""),
        item.get("reason", ""),
        f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}",
        involved.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        str(item.get("message", "")).strip(),
        first,
        count,
        _name(item),
    ]


def _lease(item: JsonObject, now: float) -> list[Any]:
    return [_name(item), (item.get("spec") or {}).get("holderIdentity") or "", _created(item, now)]


def _secret(item: JsonObject, now: float) -> list[Any]:
    return [_name(item), item.get("type", ""), len(item.get("data") or {}), _created(item, now)]


def _config_map(item: JsonObject, now: float) -> list[Any]:
    return [_name(item), len(item.get("data") or {}) + len(item.get("binaryData") or {}), _created(item, now)]


def _namespace(item: JsonObject, now: float) -> list[Any]:
    return [_name(item), item.get("status", {}).get("phase", ""), _created(item, now)]


def _definition(item: JsonObject, _now: float) -> list[Any]:
    return [_name(item), item["metadata"].get("creationTimestamp")]


def _webhook(item: JsonObject, now: float) -> list[Any]:
    return [_name(item), len(item.get("webhooks") or []), _created(item, now)]


def _deployment(item: JsonObject, now: float) -> list[Any]:
    status = item.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{item['spec'].get('replicas', 0)}"
    counts = [status.get("updatedReplicas", 0), status.get("availableReplicas", 0)]
    return [_name(item), ready, *counts, _created(item, now), *_template(item)]


def _daemon_set(item: JsonObject, now: float) -> list[Any]:
    status = item.get("status") or {}
    fields = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled")
    counts = [status.get(field, 0) for field in (*fields, "numberAvailable")]
    selector = item["spec"]["template"].get("spec", {}).get("nodeSelector")
    return [_name(item), *counts, _labels(selector), _created(item, now), *_template(item)]


def _template(item: JsonObject) -> list[str]:
    """What runs in the pods, and which those are."""
    containers = item["spec"]["template"].get("spec", {}).get("containers") or []
    names, images = (",".join(each.get(field, "") for each in containers) for field in ("name", "image"))
    return [names, images, _labels((item["spec"].get("selector") or {}).get("matchLabels"))]


def _labels(labels: JsonObject | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or _NONE


def _service(item: JsonObject, now: float) -> list[Any]:
    spec = item.get("spec") or {}
    ports = [f"{each.get('port')}/{each.get('protocol', 'TCP')}" for each in spec.get("ports") or []]
    addresses = [spec.get("type") or "ClusterIP", spec.get("clusterIP") or _NONE]
    outside = ",".join(spec.get("externalIPs") or []) or _NONE
    return [
        _name(item),
        *addresses,
        outside,
        ",".join(ports) or _NONE,
        _created(item, now),
        _labels(spec.get("selector")),
    ]


def _storage_class(item: JsonObject, now: float) -> list[Any]:
    default = (item["metadata"].get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    return [
        f"{_name(item)} (default)" if default else _name(item),
        item.get("provisioner", ""),
        item.get("reclaimPolicy", "Delete"),
        item.get("volumeBindingMode", "Immediate"),
        bool(item.get("allowVolumeExpansion")),
        _created(item, now),
    ]


def _account(item: JsonObject, now: float) -> list[Any]:
    return [_name(item), _created(item, now)]


def _columns(*names: str) -> tuple[Column, ...]:
    """`+Name` shows with `-o wide` only; `Name:type` is no string."""
    columns = []
    for text in names:
        name, _, type_ = text.removeprefix("+").partition(":")
        format_ = "name" if name == "Name" else ""
        columns.append(Column(name, type_ or "string", format_, priority=int(text[0] == "+")))
    return tuple(columns)


_POD = "Name Ready Status Restarts Age +IP +Node +Nominated_Node +Readiness_Gates"
_NODE = "Name Status Roles Age Version +Internal-IP +External-IP +OS-Image +Kernel-Version +Container-Runtime"
_VOLUME = (
    "Name Capacity Access_Modes Reclaim_Policy Status Claim StorageClass VolumeAttributesClass Reason Age +VolumeMode"
)
_CLAIM = "Name Status Volume Capacity Access_Modes StorageClass VolumeAttributesClass Age +VolumeMode"
_WORKLOAD = "Age +Containers +Images +Selector"
_DEPLOYMENT = f"Name Ready Up-to-date Available {_WORKLOAD}"
_DAEMON_SET = (
    "Name Desired:integer Current:integer Ready:integer Up-to-date:integer Available:integer Node_Selector " + _WORKLOAD
)
_SERVICE = "Name Type Cluster-IP External-IP Port(s) Age +Selector"
_STORAGE_CLASS = "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age"
_WEBHOOKS = "Name Webhooks:integer Age"
_EVENT = "Last_Seen Type Reason Object +Subobject +Source Message +First_Seen +Count +Name"


def _split(text: str) -> tuple[Column, ...]:
    return _columns(*(name.replace("_", " ") for name in text.split()))


BUILTIN_TABLES: dict[tuple[str, str], tuple[tuple[Column, ...], Cells]] = {
    ("", "Pod"): (_split(_POD), _pod),
    ("", "Node"): (_split(_NODE), _node),
    ("", "PersistentVolume"): (_split(_VOLUME), _volume),
    ("", "PersistentVolumeClaim"): (_split(_CLAIM), _claim),
    ("", "Event"): (_split(_EVENT), _event),
    ("coordination.k8s.io", "Lease"): (_split("Name Holder Age"), _lease),
    ("", "Secret"): (_split("Name Type Data Age"), _secret),
    ("", "ConfigMap"): (_split("Name Data Age"), _config_map),
    ("", "Namespace"): (_split("Name Status Age"), _namespace),
    ("", "ServiceAccount"): (_split("Name Age"), _account),
    ("", "Service"): (_split(_SERVICE), _service),
    ("apps", "Deployment"): (_split(_DEPLOYMENT), _deployment),
    ("apps", "DaemonSet"): (_split(_DAEMON_SET), _daemon_set),
    ("storage.k8s.io", "StorageClass"): (_split(_STORAGE_CLASS), _storage_class),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (_split("Name Created_At:date"), _definition),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): (_split(_WEBHOOKS), _webhook),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): (_split(_WEBHOOKS), _webhook),
}
