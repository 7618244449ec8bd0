"""A stand-in for the PersistentVolume controller and the protection of volumes and claims in use."""

from cachesim.binder.binder import VolumeBinder
from cachesim.binder.matching import BIND_COMPLETED, BOUND_BY_CONTROLLER, claim_reference, find_volume
from cachesim.binder.storage_class import StorageClass, is_delayed

__all__ = [
    "BIND_COMPLETED",
    "BOUND_BY_CONTROLLER",
    "StorageClass",
    "VolumeBinder",
    "claim_reference",
    "find_volume",
    "is_delayed",
]
