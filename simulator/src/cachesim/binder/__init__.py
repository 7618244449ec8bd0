"""A stand-in for the PersistentVolume controller and the protection of volumes and claims in use."""

from cachesim.binder.binder import VolumeBinder

__all__ = ["VolumeBinder"]
