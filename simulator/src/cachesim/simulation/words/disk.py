"""Changes of a node's disk in words: the store's layout turned back into what was meant."""

from __future__ import annotations

from cachecore.store.layout import (
    LEDGER_PATH,
    LEGACY_PATH,
    MANIFESTS_PATH,
    STAGING_PATH,
    STORE_ID_PATH,
    TRASH_PATH,
    published_path,
)
from cachesim.disk import DiskEvent
from cachesim.simulation.words.names import ModelNames
from cachesim.simulation.world import published_key

_PAST = {
    "write": "written",
    "allocate": "allocated",
    "part": "written in part",
    "make": "made",
    "shrink": "shrunk",
    "remove": "removed",
    "damage": "damaged",
}


def disk_words(node: str, event: DiskEvent, names: ModelNames) -> str:
    """One change of the tree."""
    return f"disk of {node}: {names.in_text(_meaning(event, names))}"


def _meaning(event: DiskEvent, names: ModelNames) -> str:
    if event.verb == "wipe":
        return "wiped, it is empty now"
    if event.verb == "rename":
        return _rename_meaning(event, names)
    past = _PAST.get(event.verb, event.verb)
    if event.path == STORE_ID_PATH:
        return f"store's identity {past}"
    if event.path == LEDGER_PATH:
        return f"ledger of arrivals and uses {past}"
    for folder, meaning in ((MANIFESTS_PATH, "manifest"), (TRASH_PATH, "trash"), (STAGING_PATH, "staging")):
        if event.path.startswith(f"{folder}/"):
            name, _, inside = event.path.removeprefix(f"{folder}/").partition("/")
            return _inside_meaning(meaning, model_of(name, names), inside, event.verb, past)
    return _view_meaning(event, names, past)


def _inside_meaning(folder: str, model: str, inside: str, verb: str, past: str) -> str:
    """Below manifests, trash or staging, where the first name stands for a model."""
    if folder == "trash" and verb == "remove" and not inside:
        return f"trash of {model} emptied"
    if folder == "staging" and inside.startswith("journal"):
        return f"journal of {model}'s download {past}"
    if folder == "staging" and inside:
        file = inside.removeprefix("files/")
        if verb == "allocate":
            return f"space for {model}'s {file} allocated in staging"
        if verb == "part":
            return f"a part of {model}'s {file} arrived in staging"
    return f"{folder} of {model}{f', {inside},' if inside else ''} {past}"


def _view_meaning(event: DiskEvent, names: ModelNames, past: str) -> str:
    key = published_key(event.path)
    if key and event.path == published_path(key):
        return f"published copy of {names.of_key(key)} {past}"
    if key:
        return f"published copy of {names.of_key(key)}, {event.path.removeprefix(published_path(key) + '/')}, {past}"
    first, _, rest = event.path.partition("/")
    if names.of_key(first) != first and rest in ("", "models"):
        return f"view of {names.of_key(first)} {past}"
    return f"{event.path} {past}"


def _rename_meaning(event: DiskEvent, names: ModelNames) -> str:
    source, target = published_key(event.path), published_key(event.target)
    if target and event.path.startswith(f"{STAGING_PATH}/"):
        return f"{names.of_key(target)} published"
    if target and event.path.startswith(f"{LEGACY_PATH}/"):
        return f"{names.of_key(target)} published, adopted from what KServe's agent left"
    if source and event.target.startswith(f"{TRASH_PATH}/"):
        return f"{names.of_key(source)} evicted (renamed into the trash)"
    if event.path.startswith(f"{STAGING_PATH}/") and event.target.startswith(f"{TRASH_PATH}/"):
        key = event.path.removeprefix(f"{STAGING_PATH}/").partition("/")[0]
        return f"staging of {names.of_key(key)} thrown into the trash"
    return f"{event.path} renamed to {event.target}"


def model_of(name: str, names: ModelNames) -> str:
    """The model of a name below manifests, staging or trash, where a suffix may follow the key."""
    return names.of_key(name.partition("-")[0].partition(".")[0])
