"""A simulated world of one node that has come to rest, for tests of what must hold then: break one thing of it."""

from __future__ import annotations

from typing import Any

from cachesim.simulation.holdings import Past
from cachesim.simulation.liveness import liveness_problems
from cachesim.testing.bench import KEY, URI, Bench, entry

READY = {"type": "Ready", "status": "True", "reason": "AllCopiesReady"}
DOWNLOADED = {"key": KEY, "sourceModelUri": URI, "state": "Downloaded"}
SIZE_BYTES = 150


class RestBench(Bench):
    """`iris` has a cache, its copy is on `n1`, and all is told as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.merge("nodes", "n1", {"metadata": {"labels": {"disk": "fast"}}, "spec": {"taints": None}})
        self.merge("nodes", "n1", {"status": {"conditions": [READY]}}, "status")
        self.create(
            "localmodelnodegroups",
            {
                "metadata": {"name": "workers"},
                "spec": {
                    "storageLimit": "1G",
                    "nodeSelector": {"disk": "fast"},
                    "persistentVolumeSpec": {"local": {"path": "/models"}},
                    "persistentVolumeClaimSpec": {},
                },
            },
        )
        self.merge(
            "localmodelnodegroups",
            "workers",
            {"status": {"nodes": 1, "readyNodes": 1, "observedGeneration": 1}},
            "status",
        )
        self.cache()
        self.local_model_node(entry())
        self.merge("localmodelnodes", "n1", {"spec": {"storage": {"limit": "1G"}}})
        self.publish({"a": 100, "b": 50})
        self.report(DOWNLOADED, used=SIZE_BYTES)
        self.label(KEY, "ready")
        self.tell({"available": 1, "total": 1, "failed": 0}, {"n1": "NodeDownloaded"}, READY)

    def limit(self, limit_bytes: int) -> None:
        """What a node may hold, and all that follows from it."""
        limit = {"storageLimit": str(limit_bytes)}
        self.merge("localmodelnodegroups", "workers", {"spec": limit})
        generation = self._present("localmodelnodegroups", "workers")["metadata"]["generation"]
        self.merge("localmodelnodegroups", "workers", {"status": {"observedGeneration": generation}}, "status")
        self.merge("localmodelnodes", "n1", {"spec": {"storage": {"limit": str(limit_bytes)}}})
        generation = self._present("localmodelnodes", "n1")["metadata"]["generation"]
        self.merge("localmodelnodes", "n1", {"status": {"observedGeneration": generation}}, "status")

    def report(self, *copies: dict[str, Any], used: int = 0) -> None:
        """What the agent says."""
        generation = self._present("localmodelnodes", "n1")["metadata"]["generation"]
        status = {"observedGeneration": generation, "models": list(copies), "storage": _storage(used)}
        self.merge("localmodelnodes", "n1", {"status": status}, "status")

    def list_models(self, *entries: dict[str, Any]) -> None:
        """What the agent shall hold."""
        self.merge("localmodelnodes", "n1", {"spec": {"localModels": list(entries)}})

    def tell(self, copies: dict[str, int], nodes: dict[str, str], ready: dict[str, str], name: str = "iris") -> None:
        """What the manager says of a cache."""
        generation = self._present("localmodelcaches", name)["metadata"]["generation"]
        status = {"observedGeneration": generation, "copies": copies, "nodeStatus": nodes, "conditions": [ready]}
        self.merge("localmodelcaches", name, {"status": status}, "status")

    def label(self, key: str, value: str | None) -> None:
        self.merge("nodes", "n1", {"metadata": {"labels": {f"localmodel.kserve.io/{key}": value}}})

    def problems(self, past: Past = Past(), unix_seconds: float = 0.0) -> list[str]:
        """Each as one line, the invariant first."""
        found = liveness_problems(self.world, past, unix_seconds)
        return [f"{problem.invariant}: {problem.message}" for problem in found]

    def invariants(self, past: Past = Past(), unix_seconds: float = 0.0) -> list[str]:
        """Which invariants don't hold, each once."""
        return sorted({line[:2] for line in self.problems(past, unix_seconds)})

    def _present(self, plural: str, name: str) -> dict[str, Any]:
        found = self.world.object(plural, name)
        if found is None:
            raise AssertionError(f"there is no {name} among {plural}")
        return found


def _storage(used: int) -> dict[str, int]:
    return {"limit": 10**9, "used": used, "reserved": 0, "available": 10**9 - used}
