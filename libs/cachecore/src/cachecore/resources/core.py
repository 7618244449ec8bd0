"""The core kinds that localmodel reads or makes: only the fields it uses are typed.

Such a value must not be sent back with `update`, which would drop the fields that are not typed here: patch instead.
Specs that are passed through whole (PersistentVolume, InferenceService) stay JSON objects.
"""

from __future__ import annotations

from typing import Any, ClassVar

from cachecore.resources.meta import JsonObject, Resource, ResourceType, Value


class Taint(Value, frozen=True, kw_only=True):
    key: str
    value: str = ""
    effect: str = ""
    time_added: str | None = None


class Toleration(Value, frozen=True, kw_only=True):
    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class NodeCondition(Value, frozen=True, kw_only=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_heartbeat_time: str | None = None
    last_transition_time: str | None = None


class NodeSpec(Value, frozen=True, kw_only=True):
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeAddress(Value, frozen=True, kw_only=True):
    type: str
    address: str


class NodeStatus(Value, frozen=True, kw_only=True):
    conditions: tuple[NodeCondition, ...] = ()
    addresses: tuple[NodeAddress, ...] = ()
    capacity: dict[str, Any] = {}
    allocatable: dict[str, Any] = {}


class Node(Resource, frozen=True, kw_only=True):
    resource_type: ClassVar[ResourceType] = ResourceType(
        group="", version="v1", kind="Node", plural="nodes", namespaced=False
    )

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def ready(self) -> bool:
        return any(condition.type == "Ready" and condition.status == "True" for condition in self.status.conditions)


class ObjectName(Value, frozen=True, kw_only=True):
    name: str = ""


class SecretKeySelector(Value, frozen=True, kw_only=True):
    name: str
    key: str
    optional: bool | None = None


class ObjectFieldSelector(Value, frozen=True, kw_only=True):
    field_path: str


class EnvVarSource(Value, frozen=True, kw_only=True):
    field_ref: ObjectFieldSelector | None = None
    secret_key_ref: SecretKeySelector | None = None


class EnvVar(Value, frozen=True, kw_only=True):
    name: str
    value: str = ""
    value_from: EnvVarSource | None = None


class VolumeMount(Value, frozen=True, kw_only=True):
    name: str
    mount_path: str
    sub_path: str = ""
    read_only: bool = False


class Container(Value, frozen=True, kw_only=True):
    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    working_dir: str = ""
    volume_mounts: tuple[VolumeMount, ...] = ()
    resources: JsonObject = {}
    termination_message_policy: str = ""


class PersistentVolumeClaimVolume(Value, frozen=True, kw_only=True):
    claim_name: str
    read_only: bool = False


class HostPathVolume(Value, frozen=True, kw_only=True):
    path: str
    type: str = ""


class Volume(Value, frozen=True, kw_only=True):
    name: str
    persistent_volume_claim: PersistentVolumeClaimVolume | None = None
    empty_dir: JsonObject | None = None
    host_path: HostPathVolume | None = None
    projected: JsonObject | None = None


class PodSpec(Value, frozen=True, kw_only=True):
    node_name: str = ""
    node_selector: dict[str, str] = {}
    affinity: JsonObject | None = None
    tolerations: tuple[Toleration, ...] = ()
    init_containers: tuple[Container, ...] = ()
    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    service_account_name: str = ""
    restart_policy: str = ""
    termination_grace_period_seconds: int | None = None
    priority: int | None = None
    scheduler_name: str = ""
    scheduling_gates: tuple[ObjectName, ...] = ()


class PodCondition(Value, frozen=True, kw_only=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class ContainerStatus(Value, frozen=True, kw_only=True):
    name: str
    ready: bool = False
    restart_count: int = 0
    image: str = ""
    image_id: str = ""
    started: bool | None = None
    state: JsonObject = {}
    last_state: JsonObject = {}


class PodStatus(Value, frozen=True, kw_only=True):
    phase: str = ""
    reason: str = ""
    message: str = ""
    host_ip: str = ""
    pod_ip: str = ""
    start_time: str | None = None
    conditions: tuple[PodCondition, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Resource, frozen=True, kw_only=True):
    resource_type: ClassVar[ResourceType] = ResourceType(
        group="", version="v1", kind="Pod", plural="pods", namespaced=True
    )

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def terminal(self) -> bool:
        """Whether every container has ended for good."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def ready(self) -> bool:
        return any(condition.type == "Ready" and condition.status == "True" for condition in self.status.conditions)


class VolumeStatus(Value, frozen=True, kw_only=True):
    phase: str = ""
    reason: str = ""
    message: str = ""


class PersistentVolume(Resource, frozen=True, kw_only=True):
    """`spec` is the JSON of a core/v1 PersistentVolumeSpec, passed through from the node group."""

    resource_type: ClassVar[ResourceType] = ResourceType(
        group="", version="v1", kind="PersistentVolume", plural="persistentvolumes", namespaced=False
    )

    spec: JsonObject = {}
    status: VolumeStatus = VolumeStatus()


class PersistentVolumeClaim(Resource, frozen=True, kw_only=True):
    """`spec` is the JSON of a core/v1 PersistentVolumeClaimSpec, passed through from the node group."""

    resource_type: ClassVar[ResourceType] = ResourceType(
        group="", version="v1", kind="PersistentVolumeClaim", plural="persistentvolumeclaims", namespaced=True
    )

    spec: JsonObject = {}
    status: JsonObject = {}


class Namespace(Resource, frozen=True, kw_only=True):
    resource_type: ClassVar[ResourceType] = ResourceType(
        group="", version="v1", kind="Namespace", plural="namespaces", namespaced=False
    )

    status: JsonObject = {}


class Secret(Resource, frozen=True, kw_only=True):
    """`data` is base64, as the API sends it."""

    resource_type: ClassVar[ResourceType] = ResourceType(
        group="", version="v1", kind="Secret", plural="secrets", namespaced=True
    )

    type: str = ""
    data: dict[str, str] = {}
    string_data: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Secret(name={self.name!r}, namespace={self.namespace!r})"


class ConfigMap(Resource, frozen=True, kw_only=True):
    resource_type: ClassVar[ResourceType] = ResourceType(
        group="", version="v1", kind="ConfigMap", plural="configmaps", namespaced=True
    )

    data: dict[str, str] = {}


class ServiceAccount(Resource, frozen=True, kw_only=True):
    resource_type: ClassVar[ResourceType] = ResourceType(
        group="", version="v1", kind="ServiceAccount", plural="serviceaccounts", namespaced=True
    )

    secrets: tuple[ObjectName, ...] = ()


class ObjectReference(Value, frozen=True, kw_only=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""


class EventSource(Value, frozen=True, kw_only=True):
    component: str = ""
    host: str = ""


class Event(Resource, frozen=True, kw_only=True):
    """core/v1 Event, as `kubectl describe` shows it."""

    resource_type: ClassVar[ResourceType] = ResourceType(
        group="", version="v1", kind="Event", plural="events", namespaced=True
    )

    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    type: str = ""
    source: EventSource = EventSource()
    count: int = 0
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    reporting_component: str = ""
    reporting_instance: str = ""


class LeaseSpec(Value, frozen=True, kw_only=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(Resource, frozen=True, kw_only=True):
    resource_type: ClassVar[ResourceType] = ResourceType(
        group="coordination.k8s.io", version="v1", kind="Lease", plural="leases", namespaced=True
    )

    spec: LeaseSpec = LeaseSpec()
