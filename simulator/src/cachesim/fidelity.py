"""What a simulated cluster's bytes are: tokens (`flow`), or real files and a real S3 (`bytes`).

Everything else is the same: production code, virtual time, the network's flows, the adapters of the ports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from cachesim.disk import DiskWorld
from cachesim.network import Link
from cachesim.source import SourceWorld

FidelityName: TypeAlias = Literal["flow", "bytes"]
FIDELITIES: tuple[FidelityName, ...] = ("flow", "bytes")


class Fidelity(Protocol):
    """The worlds under one cluster."""

    @property
    def source(self) -> SourceWorld: ...

    def new_disk(self, node: str, capacity_bytes: int) -> DiskWorld: ...

    def close(self) -> None:
        """Leave nothing behind, whatever has happened."""
        ...


class FlowFidelity:
    """Rates only: a terabyte costs a few kilobytes."""

    def __init__(self, link: Link, latency_seconds: float) -> None:
        self.source = SourceWorld(link=link, latency_seconds=latency_seconds)

    def new_disk(self, node: str, capacity_bytes: int) -> DiskWorld:
        return DiskWorld(capacity_bytes)

    def close(self) -> None:
        """There is nothing outside of memory."""


class BytesFidelity:
    """Real bytes, through the production transfer."""

    def __init__(self, link: Link, latency_seconds: float, differs: Callable[[str], None]) -> None:
        # Drivers and moto take a second to import, for which only such a run should pay.
        from cachesim.real.ground import Ground
        from cachesim.real.source import RealSource

        self._ground = Ground()
        self._differs = differs
        self.source = RealSource(self._ground, link=link, latency_seconds=latency_seconds)

    def new_disk(self, node: str, capacity_bytes: int) -> DiskWorld:
        from cachesim.real.disk import RealDiskWorld

        return RealDiskWorld(
            capacity_bytes,
            self._ground.new_directory(node),
            self._ground,
            digests=self.source.digests,
            differs=lambda words: self._differs(f"{node}: {words}"),
        )

    def close(self) -> None:
        self._ground.close()


def make_fidelity(
    name: FidelityName, *, link: Link, latency_seconds: float, models_bytes: int, differs: Callable[[str], None]
) -> Fidelity:
    """`differs` is told where real files do otherwise than the model of them.

    Raises `InvalidInput` when the models are too large to be real.
    """
    if name == "flow":
        return FlowFidelity(link, latency_seconds)
    from cachesim.real.source import check_size

    check_size(models_bytes)
    return BytesFidelity(link, latency_seconds, differs)
