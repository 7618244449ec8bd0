"""The built-in kinds that a cluster of this project touches."""

from __future__ import annotations

from cachesim.apiserver.left_out import KINDS
from cachesim.apiserver.resources import PrinterColumn, ResourceRegistry, ResourceType

_STATUS = ("status",)


def _column(name: str, json_path: str, type_: str = "string", priority: int = 0) -> PrinterColumn:
    return PrinterColumn(name=name, json_path=json_path, type=type_, priority=priority)


_AGE = _column("Age", ".metadata.creationTimestamp", "date")

POD = ResourceType(
    group="",
    version="v1",
    kind="Pod",
    plural="pods",
    singular="pod",
    namespaced=True,
    short_names=("po",),
    subresources=("status", "binding", "eviction"),
    categories=("all",),
    printer_columns=(
        _column("Status", ".status.phase"),
        _column("Node", ".spec.nodeName", priority=1),
        _AGE,
    ),
    tracks_generation=True,
    field_selectors=(
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
)
NAMESPACE = ResourceType(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    singular="namespace",
    namespaced=False,
    short_names=("ns",),
    subresources=("status", "finalize"),
    printer_columns=(_column("Status", ".status.phase"), _AGE),
    field_selectors=("status.phase",),
)
NODE = ResourceType(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    singular="node",
    namespaced=False,
    short_names=("no",),
    subresources=_STATUS,
    printer_columns=(_column("Status", '.status.conditions[?(@.type=="Ready")].reason'), _AGE),
    field_selectors=("spec.unschedulable",),
)
PERSISTENT_VOLUME = ResourceType(
    group="",
    version="v1",
    kind="PersistentVolume",
    plural="persistentvolumes",
    singular="persistentvolume",
    namespaced=False,
    short_names=("pv",),
    subresources=_STATUS,
    printer_columns=(
        _column("Capacity", ".spec.capacity.storage"),
        _column("Reclaim Policy", ".spec.persistentVolumeReclaimPolicy"),
        _column("Status", ".status.phase"),
        _column("Claim", ".spec.claimRef.name"),
        _column("StorageClass", ".spec.storageClassName"),
        _AGE,
    ),
)
PERSISTENT_VOLUME_CLAIM = ResourceType(
    group="",
    version="v1",
    kind="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    singular="persistentvolumeclaim",
    namespaced=True,
    short_names=("pvc",),
    subresources=_STATUS,
    printer_columns=(
        _column("Status", ".status.phase"),
        _column("Volume", ".spec.volumeName"),
        _column("Capacity", ".status.capacity.storage"),
        _column("StorageClass", ".spec.storageClassName"),
        _AGE,
    ),
)
CUSTOM_RESOURCE_DEFINITION = ResourceType(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    singular="customresourcedefinition",
    namespaced=False,
    short_names=("crd", "crds"),
    subresources=_STATUS,
    categories=("api-extensions",),
    printer_columns=(_column("Created At", ".metadata.creationTimestamp", "date"),),
    tracks_generation=True,
    allows_unconditional_update=False,
)
MUTATING_WEBHOOK = ResourceType(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="MutatingWebhookConfiguration",
    plural="mutatingwebhookconfigurations",
    singular="mutatingwebhookconfiguration",
    namespaced=False,
    categories=("api-extensions",),
    tracks_generation=True,
    printer_columns=(_AGE,),
)
VALIDATING_WEBHOOK = ResourceType(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingWebhookConfiguration",
    plural="validatingwebhookconfigurations",
    singular="validatingwebhookconfiguration",
    namespaced=False,
    categories=("api-extensions",),
    tracks_generation=True,
    printer_columns=(_AGE,),
)
SECRET = ResourceType(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    singular="secret",
    namespaced=True,
    printer_columns=(_column("Type", ".type"), _AGE),
    field_selectors=("type",),
)
CONFIG_MAP = ResourceType(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    singular="configmap",
    namespaced=True,
    short_names=("cm",),
    printer_columns=(_AGE,),
)
SERVICE_ACCOUNT = ResourceType(
    group="",
    version="v1",
    kind="ServiceAccount",
    plural="serviceaccounts",
    singular="serviceaccount",
    namespaced=True,
    short_names=("sa",),
    printer_columns=(_AGE,),
)
EVENT = ResourceType(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    singular="event",
    namespaced=True,
    short_names=("ev",),
    printer_columns=(
        _column("Last Seen", ".lastTimestamp", "date"),
        _column("Type", ".type"),
        _column("Reason", ".reason"),
        _column("Object", ".involvedObject.name"),
        _column("Message", ".message"),
    ),
    field_selectors=(
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
)
SERVICE = ResourceType(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    singular="service",
    namespaced=True,
    short_names=("svc",),
    subresources=_STATUS,
    categories=("all",),
    printer_columns=(_column("Type", ".spec.type"), _column("Cluster-IP", ".spec.clusterIP"), _AGE),
    field_selectors=("spec.clusterIP", "spec.type"),
)
LEASE = ResourceType(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    singular="lease",
    namespaced=True,
    printer_columns=(_column("Holder", ".spec.holderIdentity"), _AGE),
    allows_unconditional_update=False,
)
STORAGE_CLASS = ResourceType(
    group="storage.k8s.io",
    version="v1",
    kind="StorageClass",
    plural="storageclasses",
    singular="storageclass",
    namespaced=False,
    short_names=("sc",),
    printer_columns=(_column("Provisioner", ".provisioner"), _AGE),
)
DEPLOYMENT = ResourceType(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    singular="deployment",
    namespaced=True,
    short_names=("deploy",),
    subresources=_STATUS,
    categories=("all",),
    printer_columns=(_column("Ready", ".status.readyReplicas", "integer"), _AGE),
    tracks_generation=True,
)
DAEMON_SET = ResourceType(
    group="apps",
    version="v1",
    kind="DaemonSet",
    plural="daemonsets",
    singular="daemonset",
    namespaced=True,
    short_names=("ds",),
    subresources=_STATUS,
    categories=("all",),
    printer_columns=(_column("Ready", ".status.numberReady", "integer"), _AGE),
    tracks_generation=True,
)

BUILTIN_TYPES: tuple[ResourceType, ...] = (
    NAMESPACE,
    NODE,
    POD,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    SECRET,
    CONFIG_MAP,
    SERVICE_ACCOUNT,
    EVENT,
    SERVICE,
    LEASE,
    STORAGE_CLASS,
    DEPLOYMENT,
    DAEMON_SET,
    MUTATING_WEBHOOK,
    VALIDATING_WEBHOOK,
    CUSTOM_RESOURCE_DEFINITION,
)
# Those that a real server has without any definition.
BUILTIN_GROUPS = frozenset(
    {
        *KINDS,
        *(resource_type.group for resource_type in BUILTIN_TYPES),
        "authentication.k8s.io",
        "authorization.k8s.io",
    }
)


def builtin_registry() -> ResourceRegistry:
    """A registry that holds the built-in kinds and no other."""
    return ResourceRegistry(BUILTIN_TYPES)
