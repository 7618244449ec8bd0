"""Situations that are a fault at a certain call: crashes between two writes, answers that are lost, errors."""

from __future__ import annotations

import fnmatch

import msgspec

from cachesim.faults.kinds import What
from cachesim.faults.sites import Site

_CRASH: tuple[What, ...] = ("crash-before", "crash-after", "agent-crash", "power-loss", "node-lost", "node-deleted")
_MANAGER_CRASH: tuple[What, ...] = ("crash-before", "crash-after", "manager-crash")
_LOST: tuple[What, ...] = ("crash-after", "answer-lost")


class Strike(msgspec.Struct, frozen=True):
    """A fault of one of these kinds at a site that matches."""

    words: str
    whats: tuple[What, ...]
    process: str
    verb: str
    subject: str

    def matches(self, what: What, site: Site) -> bool:
        return (
            what in self.whats
            and fnmatch.fnmatchcase(site.process, self.process)
            and fnmatch.fnmatchcase(site.verb, self.verb)
            and fnmatch.fnmatchcase(site.subject, self.subject)
        )


def _agent(words: str, whats: tuple[What, ...], verb: str, subject: str) -> Strike:
    return Strike(words, whats, "agent/*", verb, subject)


def _manager(words: str, whats: tuple[What, ...], verb: str, subject: str) -> Strike:
    return Strike(words, whats, "manager-*", verb, subject)


STRIKES: dict[str, Strike] = {
    "crash-after-allocation": _agent("an agent died with room taken and no byte", ("crash-after",), "allocate", "*"),
    "crash-at-journal": _agent("an agent died as it noted a part", _CRASH, "append", "journal/*"),
    "crash-before-fsync": _agent("an agent died with all parts there, none synced", _CRASH, "sync_tree", "staging/*"),
    "crash-between-fsync-and-manifest": _agent(
        "an agent died with a synced download and no manifest", ("crash-after",), "sync_tree", "staging/*"
    ),
    "crash-at-manifest": _agent("an agent died around the write of a manifest", _CRASH, "write", "manifest/*"),
    "crash-between-manifest-and-rename": _agent(
        "an agent died with a manifest and no copy", ("crash-before",), "rename", "copy/*"
    ),
    "crash-between-rename-and-status": _agent(
        "an agent died when it had published and not told", ("crash-after",), "rename", "copy/*"
    ),
    "crash-before-eviction": _agent(
        "an agent died when it had told of an eviction and not begun", ("crash-before",), "rename", "trash/*"
    ),
    "crash-between-eviction-and-manifest": _agent(
        "an agent died with a manifest of a copy in the trash", ("crash-after",), "rename", "trash/*"
    ),
    "crash-as-trash-is-emptied": _agent("an agent died as it emptied its trash", _CRASH, "shrink", "trash/*"),
    "crash-at-trash": _agent("an agent died around the unlinking of trash", _CRASH, "remove_tree", "trash/*"),
    "crash-at-staging-removal": _agent("an agent died as it gave staging up", _CRASH, "remove_tree", "staging/*"),
    "crash-at-view": _agent("an agent died around the making of a view", _CRASH, "make_directory", "view/*"),
    "crash-at-ledger": _agent("an agent died as it noted uses", _CRASH, "write", "ledger"),
    "crash-at-store-identity": _agent("an agent died as it named its store", _CRASH, "write", "store"),
    "agent-crash-at-status": _agent("an agent died around its status", _CRASH, "update_status", "LocalModelNode/*"),
    "agent-crash-at-part": _agent("an agent died with a part on its way", _CRASH, "move", "*"),
    "manager-crash-at-spec": _manager("a manager died around a node's spec", _MANAGER_CRASH, "*", "LocalModelNode/*"),
    "manager-crash-at-volume": _manager("a manager died around a volume", _MANAGER_CRASH, "*", "PersistentVolume/*"),
    "manager-crash-at-claim": _manager("a manager died around a claim", _MANAGER_CRASH, "*", "PersistentVolumeClaim/*"),
    "manager-crash-at-label": _manager("a manager died around a node's label", _MANAGER_CRASH, "patch", "Node/*"),
    "manager-crash-at-finalizer": _manager(
        "a manager died around a finalizer", _MANAGER_CRASH, "patch", "LocalModel*Cache/*"
    ),
    "manager-crash-at-cache-status": _manager(
        "a manager died around a cache's status", _MANAGER_CRASH, "update_status", "LocalModel*Cache/*"
    ),
    "manager-crash-at-lease": _manager("a manager died around its lease", _MANAGER_CRASH, "*", "Lease/*"),
    "answer-to-create-lost": _manager("a create was done, and its author does not know", _LOST, "create", "[!E]*"),
    "answer-to-delete-lost": _manager("a delete was done, and its author does not know", _LOST, "delete", "*"),
    "answer-to-spec-lost": _manager(
        "a spec was written, and the manager does not know", _LOST, "patch", "LocalModelNode/*"
    ),
    "answer-to-status-lost": _agent("a status was written, and the agent does not know", _LOST, "update_status", "*"),
    "publish-reported-as-failed": _agent(
        "a copy was published, and the disk said no", ("answer-lost",), "rename", "copy/*"
    ),
    "conflict-at-spec": _manager(
        "somebody else has written the node's spec", ("conflict",), "patch", "LocalModelNode/*"
    ),
    "conflict-at-status": _agent("somebody else has written the node", ("conflict",), "update_status", "*"),
    "write-throttled": Strike("the API server asked for fewer writes", ("too-many-requests",), "*", "[cupd]*", "*/*"),
    "publish-failed": _agent("the disk failed at the rename that publishes", ("error",), "rename", "copy/*"),
    "eviction-failed": _agent("the disk failed at the rename that evicts", ("error",), "rename", "trash/*"),
    "journal-failed": _agent("the disk failed at a journal", ("error",), "append", "journal/*"),
    "manifest-failed": _agent("the disk failed at a manifest", ("error",), "write", "manifest/*"),
    "fsync-failed": _agent("the disk failed at the fsync of a download", ("error",), "sync_tree", "*"),
    "part-failed": _agent("the object store failed at a part", ("error",), "move", "*"),
    "listing-failed": _agent("the object store failed at a listing", ("error",), "find", "*"),
    "look-failed": _agent("the disk failed as the agent looked at it", ("error",), "list_directory", "*"),
    "agent-went-stale": _agent("an agent decided by old news", ("stale",), "*", "*"),
    "manager-went-stale": _manager("a manager decided by old news", ("stale",), "*", "*"),
    "publish-delayed": _agent("the rename that publishes hung", ("delay",), "rename", "copy/*"),
    "eviction-delayed": _agent("the rename that evicts hung, and the world went on", ("delay",), "rename", "trash/*"),
}
