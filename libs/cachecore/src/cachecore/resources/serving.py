"""The kinds of group `serving.kserve.io`: KServe's four for local models, with our optional additions, and the services
that use them.

Field names, defaults and enums of KServe are kept; what is ours is marked so. Quantities (`storageLimit`, `modelSize`,
...) stay as written; `cachecore.quantity` turns them into bytes.
"""

from __future__ import annotations

import enum
from typing import ClassVar

from cachecore.resources.meta import Condition, JsonObject, Resource, ResourceType, Value

GROUP = "serving.kserve.io"
VERSION = "v1alpha1"


class EvictionPolicy(enum.StrEnum):
    LRU = "LRU"
    GREEDY_DUAL_SIZE = "GreedyDualSize"
    LFU = "LFU"
    LRFU = "LRFU"


class NodeStatusValue(enum.StrEnum):
    """A copy as LocalModelCache.status.nodeStatus names it: KServe's values first, then ours."""

    NONE = ""
    NOT_READY = "NodeNotReady"
    PENDING = "NodeDownloadPending"
    DOWNLOADING = "NodeDownloading"
    DOWNLOADED = "NodeDownloaded"
    ERROR = "NodeDownloadError"
    EVICTING = "NodeEvicting"
    EVICTED = "NodeEvicted"
    INSUFFICIENT_STORAGE = "NodeInsufficientStorage"


class ModelStatusValue(enum.StrEnum):
    """A copy as LocalModelNode.status.modelStatus names it: KServe's values first, then ours."""

    NONE = ""
    PENDING = "ModelDownloadPending"
    DOWNLOADING = "ModelDownloading"
    DOWNLOADED = "ModelDownloaded"
    ERROR = "ModelDownloadError"
    EVICTING = "ModelEvicting"
    EVICTED = "ModelEvicted"
    INSUFFICIENT_STORAGE = "ModelInsufficientStorage"


class CopyState(enum.StrEnum):
    """The state of one copy on one node, in LocalModelNode.status.models[] (ours)."""

    PENDING = "Pending"
    DOWNLOADING = "Downloading"
    DOWNLOADED = "Downloaded"
    DOWNLOAD_ERROR = "DownloadError"
    EVICTING = "Evicting"
    EVICTED = "Evicted"
    INSUFFICIENT_STORAGE = "InsufficientStorage"


MODEL_STATUS_OF_STATE = {
    CopyState.PENDING: ModelStatusValue.PENDING,
    CopyState.DOWNLOADING: ModelStatusValue.DOWNLOADING,
    CopyState.DOWNLOADED: ModelStatusValue.DOWNLOADED,
    CopyState.DOWNLOAD_ERROR: ModelStatusValue.ERROR,
    CopyState.EVICTING: ModelStatusValue.EVICTING,
    CopyState.EVICTED: ModelStatusValue.EVICTED,
    CopyState.INSUFFICIENT_STORAGE: ModelStatusValue.INSUFFICIENT_STORAGE,
}

NODE_STATUS_OF_STATE = {
    CopyState.PENDING: NodeStatusValue.PENDING,
    CopyState.DOWNLOADING: NodeStatusValue.DOWNLOADING,
    CopyState.DOWNLOADED: NodeStatusValue.DOWNLOADED,
    CopyState.DOWNLOAD_ERROR: NodeStatusValue.ERROR,
    CopyState.EVICTING: NodeStatusValue.EVICTING,
    CopyState.EVICTED: NodeStatusValue.EVICTED,
    CopyState.INSUFFICIENT_STORAGE: NodeStatusValue.INSUFFICIENT_STORAGE,
}


class Eviction(Value, frozen=True, kw_only=True):
    """Ours. Watermarks are percents of the storage limit."""

    policy: EvictionPolicy = EvictionPolicy.LRU
    high_watermark: int = 90
    low_watermark: int = 80


class LocalModelNodeGroupSpec(Value, frozen=True, kw_only=True):
    storage_limit: str | int
    persistent_volume_spec: JsonObject = {}
    persistent_volume_claim_spec: JsonObject = {}
    # Ours.
    node_selector: dict[str, str] = {}
    eviction: Eviction = Eviction()
    max_concurrent_downloads: int | None = None
    bandwidth_limit: str | int | None = None


class LocalModelNodeGroupStatus(Value, frozen=True, kw_only=True):
    """`used` and `available` are the fullest node's."""

    used: str | int | None = None
    available: str | int | None = None
    # Ours.
    nodes: int = 0
    ready_nodes: int = 0
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class LocalModelNodeGroup(Resource, frozen=True, kw_only=True):
    resource_type: ClassVar[ResourceType] = ResourceType(
        group=GROUP, version=VERSION, kind="LocalModelNodeGroup", plural="localmodelnodegroups", namespaced=False
    )

    spec: LocalModelNodeGroupSpec
    status: LocalModelNodeGroupStatus = LocalModelNodeGroupStatus()


class Storage(Value, frozen=True, kw_only=True):
    """Where the credentials are: `key` is an entry of the secret `storage-config`, `parameters` override it."""

    key: str | None = None
    parameters: dict[str, str] = {}


class LocalModelCacheSpec(Value, frozen=True, kw_only=True):
    """The spec of a LocalModelCache and of a LocalModelNamespaceCache. `copies` None: every node of the groups."""

    source_model_uri: str
    model_size: str | int
    node_groups: tuple[str, ...]
    service_account_name: str = ""
    storage: Storage | None = None
    # Ours.
    priority: int = 0
    pinned: bool = False
    copies: int | None = None
    allow_patterns: tuple[str, ...] = ()
    ignore_patterns: tuple[str, ...] = ()
    digest: str = ""


class ModelCopies(Value, frozen=True, kw_only=True):
    available: int = 0
    total: int = 0
    failed: int = 0


class NamespacedName(Value, frozen=True, kw_only=True):
    namespace: str = ""
    name: str = ""


class LocalModelCacheStatus(Value, frozen=True, kw_only=True):
    node_status: dict[str, NodeStatusValue] = {}
    copies: ModelCopies | None = None
    inference_services: tuple[NamespacedName, ...] = ()
    llm_inference_services: tuple[NamespacedName, ...] = ()
    # Ours. Bytes are summed over the nodes.
    conditions: tuple[Condition, ...] = ()
    observed_generation: int = 0
    resolved_size: int | None = None
    digest: str = ""
    bytes_done: int = 0
    bytes_total: int = 0
    bytes_per_second: int = 0
    # For the columns of `kubectl get`: "38/40" copies, and "38.0/40.0 GiB at 1.2 GiB/s".
    progress: str = ""
    transfer: str = ""


class LocalModelCache(Resource, frozen=True, kw_only=True):
    resource_type: ClassVar[ResourceType] = ResourceType(
        group=GROUP, version=VERSION, kind="LocalModelCache", plural="localmodelcaches", namespaced=False
    )

    spec: LocalModelCacheSpec
    status: LocalModelCacheStatus = LocalModelCacheStatus()


class LocalModelNamespaceCache(Resource, frozen=True, kw_only=True):
    resource_type: ClassVar[ResourceType] = ResourceType(
        group=GROUP,
        version=VERSION,
        kind="LocalModelNamespaceCache",
        plural="localmodelnamespacecaches",
        namespaced=True,
    )

    spec: LocalModelCacheSpec
    status: LocalModelCacheStatus = LocalModelCacheStatus()


class LocalModelInfo(Value, frozen=True, kw_only=True):
    """One model that the node shall hold: one entry per cache; entries with one URI share one copy."""

    source_model_uri: str
    model_name: str
    namespace: str = ""
    node_group: str = ""
    service_account_name: str = ""
    storage: Storage | None = None
    # Ours. `size` is the declared modelSize; `referenced` tells that a pod of this node, or a service, uses it.
    size: str | int | None = None
    priority: int = 0
    pinned: bool = False
    referenced: bool = False
    allow_patterns: tuple[str, ...] = ()
    ignore_patterns: tuple[str, ...] = ()
    digest: str = ""

    @property
    def status_key(self) -> str:
        """The entry's key in status.modelStatus, as KServe forms it."""
        return f"{self.namespace}/{self.model_name}" if self.namespace else self.model_name


class NodeStoragePolicy(Value, frozen=True, kw_only=True):
    """Ours: what the node groups of this node say of its disk. Rates are bytes per second."""

    limit: str | int
    path: str = ""
    eviction: Eviction = Eviction()
    max_concurrent_downloads: int | None = None
    bandwidth_limit: str | int | None = None


class LocalModelNodeSpec(Value, frozen=True, kw_only=True):
    local_models: tuple[LocalModelInfo, ...] = ()
    # Ours.
    storage: NodeStoragePolicy | None = None


class ModelCopyStatus(Value, frozen=True, kw_only=True):
    """Ours: one copy (one storage key) on the node. Times are RFC 3339."""

    key: str
    source_model_uri: str
    state: CopyState
    reason: str = ""
    message: str = ""
    bytes_done: int = 0
    bytes_total: int = 0
    bytes_per_second: int = 0
    digest: str = ""
    last_used_time: str | None = None
    attempts: int = 0
    next_retry_time: str | None = None


class NodeStorageStatus(Value, frozen=True, kw_only=True):
    """Ours. Bytes: `used` is what whole copies take, `reserved` what downloads in flight still may."""

    limit: int = 0
    used: int = 0
    reserved: int = 0
    available: int = 0


class LocalModelNodeStatus(Value, frozen=True, kw_only=True):
    model_status: dict[str, ModelStatusValue] = {}
    # Ours.
    models: tuple[ModelCopyStatus, ...] = ()
    storage: NodeStorageStatus | None = None
    store_id: str = ""
    observed_generation: int = 0
    agent_version: str = ""
    conditions: tuple[Condition, ...] = ()
    # For the columns of `kubectl get`: "3/4" whole models, and "3.2/10.0 GiB" of the limit.
    progress: str = ""
    usage: str = ""


class LocalModelNode(Resource, frozen=True, kw_only=True):
    resource_type: ClassVar[ResourceType] = ResourceType(
        group=GROUP, version=VERSION, kind="LocalModelNode", plural="localmodelnodes", namespaced=False
    )

    spec: LocalModelNodeSpec = LocalModelNodeSpec()
    status: LocalModelNodeStatus = LocalModelNodeStatus()


class InferenceService(Resource, frozen=True, kw_only=True):
    """KServe's, served as v1beta1; its spec is passed through."""

    resource_type: ClassVar[ResourceType] = ResourceType(
        group=GROUP, version="v1beta1", kind="InferenceService", plural="inferenceservices", namespaced=True
    )

    spec: JsonObject = {}
    status: JsonObject = {}


class LLMInferenceService(Resource, frozen=True, kw_only=True):
    """KServe's, served as v1alpha2; its spec is passed through."""

    resource_type: ClassVar[ResourceType] = ResourceType(
        group=GROUP, version="v1alpha2", kind="LLMInferenceService", plural="llminferenceservices", namespaced=True
    )

    spec: JsonObject = {}
    status: JsonObject = {}
