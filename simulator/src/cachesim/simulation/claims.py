"""What statuses, labels and manifests say of copies, held against what happened before and what happens next.

- S3: a node has its label only after its agent has reported the copy, for that incarnation of the node.
- S4: a folder has its manifest before it has its name.
- S9: a copy that is taken away is no longer told as Downloaded, and one that nothing lists any more has lost its label
  before; a generation is observed only when every model of it has a status.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachecore.store import layout
from cachesim.apiserver.store import Change
from cachesim.simulation.world import World, labelled_keys, listed_keys

JsonObject = dict[str, Any]
Fail = Callable[[str, str], None]


class Claims:
    """Told of each write to nodes and LocalModelNodes, and of each copy that comes or goes."""

    def __init__(self, world: World, fail: Fail) -> None:
        self._world = world
        self._fail = fail
        # (uid of a Node, key) for which its agent has ever said Downloaded.
        self._reported: dict[tuple[str, str], None] = {}

    def api_changed(self, change: Change) -> None:
        if change.type == "DELETED":
            return
        match change.resource_type.plural:
            case "nodes":
                self._check_labels(change)
            case "localmodelnodes":
                self._check_reports(change)

    def copy_came(self, node: str, key: str) -> None:
        """A folder has just got its name."""
        if self._world.disks[node].find(layout.manifest_path(key)) is None:
            self._fail("S4", f"{node}: {key} is shown to pods before its manifest is written")

    def copy_went(self, node: str, key: str, *, was_whole: bool) -> None:
        """A folder has just lost its name. One that is not whole goes as soon as that is noticed, told or not."""
        local = self._present(node)
        machine = self._world.object("nodes", node)
        if local is None or machine is None or not was_whole:
            return
        states = {copy["key"]: copy["state"] for copy in (local.get("status") or {}).get("models", ())}
        if states.get(key) == "Downloaded":
            self._fail("S9", f"{node}: {key} was taken away while the status says that it is Downloaded")
        if key not in listed_keys(local) and key in labelled_keys(machine):
            self._fail("S9", f"{node}: {key}, which nothing lists, was taken away before its label")

    def _present(self, node: str) -> JsonObject | None:
        """The LocalModelNode of the node's present incarnation."""
        local, machine = self._world.object("localmodelnodes", node), self._world.object("nodes", node)
        if local is None or machine is None or machine["metadata"]["uid"] not in _owners(local):
            return None
        return local

    def _check_labels(self, change: Change) -> None:
        name, uid = change.item["metadata"]["name"], change.item["metadata"]["uid"]
        for key in labelled_keys(change.item):
            if key not in labelled_keys(change.previous or {}) and (uid, key) not in self._reported:
                self._fail("S3", f"{name} is labelled as holding {key}, which its agent has never reported")

    def _check_reports(self, change: Change) -> None:
        status = change.item.get("status") or {}
        before = (change.previous or {}).get("status") or {}
        if status == before:
            return
        states = {copy["key"]: copy["state"] for copy in status.get("models", ())}
        for uid in _owners(change.item):
            self._reported.update({(uid, key): None for key, state in states.items() if state == "Downloaded"})
        observed = status.get("observedGeneration", 0)
        if observed <= before.get("observedGeneration", 0) or observed != change.item["metadata"].get("generation"):
            return
        missing = sorted(listed_keys(change.item) - states.keys())
        if missing:
            name = change.item["metadata"]["name"]
            self._fail(
                "S9", f"{name}: generation {observed} is said to be observed, but nothing is said of {missing[0]}"
            )


def _owners(resource: JsonObject) -> list[str]:
    return [owner["uid"] for owner in resource["metadata"].get("ownerReferences", ())]
