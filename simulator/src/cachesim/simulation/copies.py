"""Each copy's states over time, as the nodes' disks and the bound pods show them."""

from __future__ import annotations

from cachecore.store.layout import STAGING_PATH, TRASH_PATH, published_path
from cachesim.disk import DiskEvent
from cachesim.simulation.timeline import CopySpan, CopyState, Download, DownloadEnd, EvictionMark
from cachesim.simulation.words import ModelNames
from cachesim.simulation.world import published_key

_STAGING = f"{STAGING_PATH}/"
_TRASH = f"{TRASH_PATH}/"
_KEY_LENGTH = 16


class _Copy:
    """One copy as it is now."""

    __slots__ = ("published", "since", "staging_since", "state", "trash", "users")

    def __init__(self) -> None:
        self.published = False
        self.staging_since: float | None = None
        self.trash: dict[str, None] = {}
        self.users: dict[str, None] = {}
        self.state: CopyState | None = None
        self.since = 0.0

    def state_now(self) -> CopyState | None:
        if self.published:
            return "in use" if self.users else "held"
        if self.staging_since is not None:
            return "downloading"
        return "evicting" if self.trash else None


class CopyTracker:
    """Told of disks and of the pods that use copies; answers spans, downloads and evictions."""

    def __init__(self, names: ModelNames) -> None:
        self._names = names
        self._copies: dict[str, dict[str, _Copy]] = {}
        self._spans: dict[str, list[CopySpan]] = {}
        self._downloads: list[Download] = []
        self.evictions: list[EvictionMark] = []

    def disk_changed(self, seconds: float, node: str, event: DiskEvent) -> None:
        path, verb = event.path, event.verb
        if verb == "part":
            return
        if verb == "wipe":
            self._wiped(seconds, node)
        elif verb == "rename":
            self._renamed(seconds, node, path, event.target)
        elif path.startswith(_STAGING):
            name = path.removeprefix(_STAGING)
            if verb != "remove":
                self._staging_begun(seconds, node, name[:_KEY_LENGTH])
            elif "/" not in name:
                self._staging_ended(seconds, node, name[:_KEY_LENGTH], "given up")
        elif verb == "remove":
            self._removed(seconds, node, path)

    def pod_bound(self, seconds: float, node: str, key: str, pod_uid: str) -> None:
        copy = self._copy(node, key)
        copy.users[pod_uid] = None
        self._settle(seconds, node, key, copy)

    def pod_gone(self, seconds: float, node: str, key: str, pod_uid: str) -> None:
        copy = self._copy(node, key)
        copy.users.pop(pod_uid, None)
        self._settle(seconds, node, key, copy)

    def is_published(self, node: str, key: str) -> bool:
        copy = self._copies.get(node, {}).get(key)
        return copy is not None and copy.published

    def spans(self, end_seconds: float) -> dict[str, list[CopySpan]]:
        """By node; what is not over ends with the run."""
        spans = {node: list(found) for node, found in self._spans.items()}
        for node, copies in self._copies.items():
            for key, copy in copies.items():
                if copy.state is not None and copy.since < end_seconds:
                    spans.setdefault(node, []).append(self._span(key, copy.state, copy.since, end_seconds))
        return {node: sorted(found, key=lambda span: span.begin_seconds) for node, found in spans.items()}

    def downloads(self, end_seconds: float) -> tuple[Download, ...]:
        found = list(self._downloads)
        for node, copies in self._copies.items():
            for key, copy in copies.items():
                if copy.staging_since is not None and not copy.published:
                    found.append(self._download(node, key, copy.staging_since, end_seconds, "unfinished"))
        return tuple(sorted(found, key=lambda download: (download.begin_seconds, download.node, download.model)))

    def _staging_begun(self, seconds: float, node: str, key: str) -> None:
        copy = self._copy(node, key)
        if copy.staging_since is None:
            copy.staging_since = seconds
            self._settle(seconds, node, key, copy)

    def _staging_ended(self, seconds: float, node: str, key: str, ended: DownloadEnd) -> None:
        """The folder that stays behind after a copy was published is no download."""
        copy = self._copy(node, key)
        if copy.staging_since is not None:
            self._downloads.append(self._download(node, key, copy.staging_since, seconds, ended))
            copy.staging_since = None
            self._settle(seconds, node, key, copy)

    def _renamed(self, seconds: float, node: str, path: str, target: str) -> None:
        source_key, target_key = published_key(path), published_key(target)
        if source_key and not target_key:
            copy = self._copy(node, source_key)
            copy.published = False
            if target.startswith(_TRASH):
                copy.trash[target] = None
            self.evictions.append(EvictionMark(node=node, model=self._names.of_key(source_key), seconds=seconds))
            self._settle(seconds, node, source_key, copy)
        elif target_key and target == published_path(target_key):
            copy = self._copy(node, target_key)
            copy.published = True
            self._staging_ended(seconds, node, target_key, "published")
            self._settle(seconds, node, target_key, copy)
        elif path.startswith(_STAGING):
            self._staging_ended(seconds, node, path.removeprefix(_STAGING)[:_KEY_LENGTH], "given up")

    def _removed(self, seconds: float, node: str, path: str) -> None:
        for key, copy in self._copies.get(node, {}).items():
            if path in copy.trash:
                del copy.trash[path]
            elif copy.published and f"{published_path(key)}/".startswith(f"{path}/"):
                copy.published = False
            else:
                continue
            self._settle(seconds, node, key, copy)

    def _wiped(self, seconds: float, node: str) -> None:
        for key, copy in self._copies.get(node, {}).items():
            copy.published = False
            copy.trash.clear()
            self._staging_ended(seconds, node, key, "given up")
            self._settle(seconds, node, key, copy)

    def _copy(self, node: str, key: str) -> _Copy:
        return self._copies.setdefault(node, {}).setdefault(key, _Copy())

    def _settle(self, seconds: float, node: str, key: str, copy: _Copy) -> None:
        """Close the span of the state that is over, and begin another. A state of no duration leaves no span."""
        state = copy.state_now()
        if state == copy.state:
            return
        if copy.state is not None and copy.since < seconds:
            self._spans.setdefault(node, []).append(self._span(key, copy.state, copy.since, seconds))
        copy.state, copy.since = state, seconds

    def _span(self, key: str, state: CopyState, begin: float, end: float) -> CopySpan:
        return CopySpan(model=self._names.of_key(key), state=state, begin_seconds=begin, end_seconds=end)

    def _download(self, node: str, key: str, begin: float, end: float, ended: DownloadEnd) -> Download:
        model = self._names.of_key(key)
        return Download(node=node, model=model, begin_seconds=begin, end_seconds=end, ended=ended)
