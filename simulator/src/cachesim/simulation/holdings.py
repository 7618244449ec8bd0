"""Whether a node at rest holds what it should, no less and no more, and says so: L1, L3, L4 and L6."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from cachecore.store import layout
from cachecore.timestamps import parse_timestamp
from cachesim.disk import DiskWorld
from cachesim.simulation.scene import JsonObject, Machine, Scene, names, status_of
from cachesim.simulation.world import labelled_keys

# Clocks that have just been put right, and an agent that is about to try.
RETRY_SLACK_SECONDS = 30.0
# Above it, whether a node has its label depends on who uses the model.
LABELLED_NODES_MAX = 200


class Problem(msgspec.Struct, frozen=True):
    """Something that a world which has come to rest must not show."""

    invariant: str
    message: str


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What can't be seen of the present: every (node, key) that was ever evicted, nodes whose disk was replaced."""

    evicted: Collection[tuple[str, str]] = ()
    replaced: Collection[str] = ()


def node_problems(scene: Scene, machine: Machine, past: Past, unix_seconds: float) -> Iterator[Problem]:
    """Everything about one node that takes part."""
    local = machine.local
    if local is None:
        if machine.groups and machine.takes_copies:
            yield Problem("L3", f"{machine.name} is in a group and has no LocalModelNode")
        return
    yield from _spec(scene, machine)
    yield from _missing(scene, machine, past)
    yield from _pressure(scene, machine)
    yield from _reports(scene, machine, unix_seconds)
    yield from _labels(scene, machine)
    yield from _leftovers(scene, machine)


def _spec(scene: Scene, machine: Machine) -> Iterator[Problem]:
    """The spec names what caches want here. A node that takes no new copies keeps those that it has."""
    for cache in scene.caches.values():
        fits = scene.fits(cache, machine)
        must = machine.demands(cache) or (cache.copies is None and machine.takes_copies)
        if fits and must and not cache.going and not machine.lists(cache):
            yield Problem("L1", f"{machine.name} is not told to hold {cache.name}")
        if machine.lists(cache) and (cache.going or not fits):
            yield Problem("L3", f"{machine.name} is told to hold {cache.name}, which does not go there")
    for key, entries in machine.entries.items():
        for entry in entries:
            if (entry.get("namespace", ""), entry["modelName"]) not in scene.caches:
                yield Problem("L3", f"{machine.name} is told to hold {scene.model(key)} for a cache that is gone")


def _missing(scene: Scene, machine: Machine, past: Past) -> Iterator[Problem]:
    """What is listed and not there, although it fits by the agent's own rules.

    They are: what is in use or pinned goes before all; then by priority; what was evicted, and not used since, comes
    only into room below the low watermark. Among equals the one that was used last stays, which no check here needs.
    """
    held = machine.published
    low_bytes = machine.limit_bytes * scene.world.low_watermark // 100
    protected_bytes = sum(size for key, size in held.items() if machine.protected(key))
    for key in machine.entries:
        size = scene.world.size_bytes(key)
        if key in held or size == 0 or size > machine.limit_bytes:
            continue
        name = f"{machine.name}: {scene.model(key)}"
        if machine.protected(key):
            if size + protected_bytes <= machine.limit_bytes:
                yield Problem("L1", f"{name} is in use or pinned, would fit, and is not there")
            continue
        taken = sum(held.values())
        room_bytes = low_bytes if taken else machine.limit_bytes
        if taken + size <= room_bytes:
            yield Problem("L1", f"{name} would fit beside all that is there, and is not there")
        elif (machine.name, key) not in past.evicted and machine.name not in past.replaced:
            priority = machine.priority(key)
            higher = sum(
                bytes_held
                for other, bytes_held in held.items()
                if machine.protected(other) or machine.priority(other) >= priority
            )
            if size + higher <= machine.limit_bytes:
                yield Problem("L1", f"{name} would fit beside what ranks as high or higher, and is not there")


def _pressure(scene: Scene, machine: Machine) -> Iterator[Problem]:
    """Below the limit, unless what may not go takes more."""
    taken = sum(machine.published.values())
    free_to_go = [key for key in machine.published if not machine.protected(key)]
    if taken > machine.limit_bytes_max and free_to_go:
        words = f"{taken} bytes of {machine.limit_bytes_max}, and {names(free_to_go, scene)} might go"
        yield Problem("L4", f"{machine.name}: models take {words}")


def _reports(scene: Scene, machine: Machine, unix_seconds: float) -> Iterator[Problem]:
    status = status_of(machine.local)
    generation = (machine.local or {})["metadata"].get("generation")
    if status.get("observedGeneration") != generation:
        yield Problem("L1", f"{machine.name}: generation {generation} has not been acted on")
    copies = {copy["key"]: copy for copy in status.get("models", ())}
    for key in machine.entries:
        if key not in copies:
            yield Problem("L1", f"{machine.name}: nothing is said of {scene.model(key)}")
    for key, copy in copies.items():
        yield from _report(scene, machine, copy, unix_seconds)
        if key not in machine.entries and key not in machine.used:
            yield Problem("L3", f"{machine.name}: {scene.model(key)} is reported, which nothing wants")
    known = sum(size for key, size in machine.published.items() if key in machine.whole)
    used = (status.get("storage") or {}).get("used", 0)
    if used != known:
        yield Problem("L1", f"{machine.name}: the status tells of {used} bytes, the copies take {known}")


def _report(scene: Scene, machine: Machine, copy: JsonObject, unix_seconds: float) -> Iterator[Problem]:
    """One copy is told as what it is. What is on its way, or fails, is not at rest."""
    key, state, reason = copy["key"], copy["state"], copy.get("reason", "")
    words = f"{machine.name}: {scene.model(key)} rests as {state}{f' ({reason})' if reason else ''}"
    if key not in machine.entries:
        return
    if state == "Downloaded":
        if key not in machine.whole:
            yield Problem("L1", f"{words}, and is not whole on the disk")
    else:
        yield from _reason_to_rest(scene, machine, copy, words)
    retry = copy.get("nextRetryTime")
    if retry and parse_timestamp(retry) < unix_seconds - RETRY_SLACK_SECONDS:
        yield Problem("L6", f"{words}: its next attempt was due at {retry}")


def _reason_to_rest(scene: Scene, machine: Machine, copy: JsonObject, words: str) -> Iterator[Problem]:
    key, state, reason = copy["key"], copy["state"], copy.get("reason", "")
    if key in machine.whole:
        yield Problem("L1", f"{words}, and is whole on the disk")
    elif key in machine.published and key in machine.used:
        # Damaged under a pod: nothing may touch it before that has ended.
        return
    elif state == "InsufficientStorage":
        others = sum(size for one, size in machine.published.items() if machine.protected(one))
        beside = others if machine.protected(key) else 0
        if scene.world.size_bytes(key) + beside <= machine.limit_bytes:
            yield Problem("L4", f"{words}, and could be had")
    elif scene.world.size_bytes(key) > machine.limit_bytes_max:
        yield Problem("L4", f"{words}, and can never fit")
    elif state == "DownloadError":
        yield Problem("L6", f"{words}: {copy.get('message', '')}")
    elif state != "Evicted" and (state, reason) != ("Pending", "NoRoom"):
        yield Problem("L1", words)


def _labels(scene: Scene, machine: Machine) -> Iterator[Problem]:
    labelled = set(labelled_keys(scene.world.object("nodes", machine.name) or {}))
    present = {key for key in machine.whole if key in machine.entries}
    for key in sorted(labelled - present):
        if layout.is_key(key):
            yield Problem("L3", f"{machine.name} is labelled as holding {scene.model(key)}, which is not there")
    if len(scene.nodes) <= LABELLED_NODES_MAX:
        for key in sorted(present - labelled):
            yield Problem("L1", f"{machine.name} is not labelled as holding {scene.model(key)}")


def _leftovers(scene: Scene, machine: Machine) -> Iterator[Problem]:
    """What lies on the disk for nobody."""
    disk = machine.disk
    for key in sorted(disk.root):
        if layout.is_key(key) and key not in machine.entries and key not in machine.used:
            what = "a copy" if key in machine.published else "a view"
            yield Problem("L3", f"{machine.name}: {what} of {scene.model(key)} is there, which nothing wants")
    for key in _names_in(disk, layout.MANIFESTS_PATH):
        if key not in machine.published:
            yield Problem("L3", f"{machine.name}: there is a manifest of {scene.model(key)}, and no copy")
    for key in _names_in(disk, layout.STAGING_PATH):
        yield Problem("L3", f"{machine.name}: a partial download of {scene.model(key)} is left")
    for name in _names_in(disk, layout.TRASH_PATH):
        yield Problem("L3", f"{machine.name}: {scene.model(name.partition('-')[0])} is left in the trash")


def _names_in(disk: DiskWorld, path: str) -> list[str]:
    found = disk.find(path)
    return sorted(found) if isinstance(found, dict) else []
