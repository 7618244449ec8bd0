"""The uses of models: noted as pods come and go, written to the ledger now and then."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cacheagent import ledger
from cacheagent.ledger import Ledger, LedgerEntry
from cacheagent.store import Store
from cachecore import eviction
from cachecore.ports import Runtime
from cachecore.resources.serving import EvictionPolicy


class Memory:
    """The ledger in memory. A change is durable after the next `save`."""

    def __init__(self, runtime: Runtime, store: Store) -> None:
        self._runtime = runtime
        self._store = store
        self._ledger = Ledger()
        self._touched: dict[str, None] = {}
        self._changed = False
        self._saved_at_seconds = 0.0

    @property
    def changed(self) -> bool:
        return self._changed

    async def load(self) -> None:
        """Read the ledger; what was noted before it was known is added to it."""
        uses = {key: self.entry(key).usage.last_used_seconds for key in self._touched}
        self._ledger = await ledger.load(self._store.disk)
        for key, when in uses.items():
            self.use(key, when)

    def entry(self, key: str) -> LedgerEntry:
        return self._ledger.entries.get(key) or LedgerEntry()

    def value(self, policy: EvictionPolicy, key: str, size_bytes: int) -> float:
        return eviction.value(policy, self.entry(key).usage, size_bytes=size_bytes, now=self._runtime.now())

    def evicted(self, key: str) -> bool:
        """Whether the model was evicted, and not used since."""
        entry = self.entry(key)
        return entry.evicted_seconds > 0 and entry.usage.last_used_seconds <= entry.evicted_seconds

    def settle_clock(self) -> None:
        """Times of a clock that was ahead and no longer is become now."""
        settled = ledger.not_ahead(self._ledger, self._runtime.now())
        if settled is not self._ledger:
            self._ledger = settled
            self._changed = True

    def meet(self, keys: Iterable[str]) -> None:
        """The node is asked to hold these: the ones that are new arrive now, or when their manifest was written."""
        for key in keys:
            if key in self._ledger.entries:
                continue
            held = self._store.held.get(key)
            usage = eviction.arrived(
                self._runtime.now() if held is None else held.published_time,
                inflation=self._ledger.inflation,
            )
            if held is not None and held.last_used_time > held.published_time:
                usage = msgspec.structs.replace(usage, last_used_seconds=held.last_used_time, frequency=1.0)
            self._put(key, LedgerEntry(usage=usage, size_bytes=0 if held is None else held.size_bytes))

    def use(self, key: str, when: float) -> None:
        """A pod that carries the key began or ended at that time; an older one than the last known changes nothing."""
        entry = self.entry(key)
        if when <= entry.usage.last_used_seconds:
            return
        usage = eviction.used(entry.usage, when, inflation=self._ledger.inflation)
        self._put(key, msgspec.structs.replace(entry, usage=usage))
        self._touched[key] = None

    def resolve(self, key: str, size_bytes: int) -> None:
        """The source has told the model's size."""
        entry = self.entry(key)
        if entry.size_bytes != size_bytes:
            self._put(key, msgspec.structs.replace(entry, size_bytes=size_bytes))

    def evict(self, key: str, reason: str, message: str) -> None:
        entry = self.entry(key)
        inflation = eviction.inflated(self._ledger.inflation, entry.usage, size_bytes=entry.size_bytes)
        self._ledger = msgspec.structs.replace(self._ledger, inflation=inflation)
        # A use that was noted with a clock ahead of ours must not undo the eviction at once.
        when = max(self._runtime.now(), entry.usage.last_used_seconds)
        self._put(
            key,
            msgspec.structs.replace(entry, evicted_seconds=when, evicted_reason=reason, evicted_message=message),
        )

    def arrive(self, key: str) -> None:
        """The copy is here: an earlier eviction is history."""
        entry = self.entry(key)
        if entry.evicted_seconds:
            self._put(key, msgspec.structs.replace(entry, evicted_seconds=0.0, evicted_reason="", evicted_message=""))

    def forget(self, keys: Iterable[str]) -> None:
        """Keep only what is known of these keys."""
        kept = dict.fromkeys(keys)
        entries = {key: entry for key, entry in self._ledger.entries.items() if key in kept}
        if len(entries) != len(self._ledger.entries):
            self._ledger = msgspec.structs.replace(self._ledger, entries=entries)
            self._changed = True

    def due_in_seconds(self, remember_seconds: float) -> float | None:
        """When the next `save` is due; None when nothing has changed."""
        if not self._changed:
            return None
        return max(self._saved_at_seconds + remember_seconds - self._runtime.monotonic(), 0.0)

    async def save(self) -> None:
        """Write the ledger, and the last uses into the manifests."""
        if not self._changed:
            return
        self._changed = False
        self._saved_at_seconds = self._runtime.monotonic()
        try:
            touched, self._touched = self._touched, {}
            await ledger.save(self._store.disk, self._ledger)
            for key in touched:
                await self._store.note_use(key, self.entry(key).usage.last_used_seconds)
        except Exception:
            # It is written with the next save; whoever asked for this one hears of the failure.
            self._changed = True
            raise

    def _put(self, key: str, entry: LedgerEntry) -> None:
        entries = {**self._ledger.entries, key: entry}
        self._ledger = msgspec.structs.replace(self._ledger, entries=entries)
        self._changed = True
