"""StorageClass, as far as it decides when a claim is bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from cachecore.resources.core import PersistentVolumeClaim
from cachecore.resources.meta import Resource, ResourceType

_NO_PROVISIONER_PREFIX = "kubernetes.io/"


class StorageClass(Resource, frozen=True, kw_only=True):
    resource_type: ClassVar[ResourceType] = ResourceType(
        group="storage.k8s.io", version="v1", kind="StorageClass", plural="storageclasses", namespaced=False
    )

    provisioner: str = ""
    volume_binding_mode: str = ""

    @property
    def delays(self) -> bool:
        """Whether a claim waits until the scheduler has a node for its first consumer."""
        return self.volume_binding_mode == "WaitForFirstConsumer"

    @property
    def built_in(self) -> bool:
        """Whether Kubernetes itself would have to provision: its own plugins are gone, others wait outside."""
        return self.provisioner.startswith(_NO_PROVISIONER_PREFIX)


ClassOf = Callable[[str], StorageClass | None]


def class_name(claim: PersistentVolumeClaim) -> str:
    """The name of the claim's class; "" for none."""
    return str(claim.spec.get("storageClassName") or "")


def is_delayed(claim: PersistentVolumeClaim, class_of: ClassOf) -> bool:
    """Whether the claim's class waits for the first consumer."""
    found = class_of(class_name(claim)) if class_name(claim) else None
    return found is not None and found.delays
