"""Replays starts of pods on nodes that decide as the agent does, over a network of fair flows, in virtual time.

What it leaves out of a whole simulation (`localmodel simulate`): the API server and the delays of controllers, which
are a constant here; the storage initializer, as pods without a cache are not planned for; and parts: a model is a flow.
tests/simulation/test_planning.py compares both on the same starts.
"""

from __future__ import annotations

import collections
import functools
import math
from collections.abc import Callable, Iterable

import simpy

from cacheagent.actions import NOT_ASSIGNED, Evict
from cachecore.names import storage_key
from cachecore.quantity import quantity_bytes
from cachecore.resources.serving import EvictionPolicy
from cachesim.network import Link, Network
from cachesim.planning.copies import Copy, Kind, PlannedNode, Rules, Seen
from cachesim.planning.downloads import Downloads
from cachesim.planning.journal import Journal
from cachesim.planning.placing import Placing
from cachesim.planning.played import Played
from cachesim.planning.starts import ANYWHERE, Starts
from cachesim.runtime import SimpyRuntime
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.units import duration_seconds, rate_bytes_per_second

# From a pod's creation to its start on a node that has the model: admission, scheduling, volumes, containers.
POD_START_SECONDS = 0.6
_PROGRESS_STEPS = 100

Progress = Callable[[float], None]
OnEvicted = Callable[[int, Copy, Evict, Seen], None]


class _Pod:
    """A start on its way: it waits for a node, then for its copy, then it runs."""

    __slots__ = ("bound", "copy", "kind", "lifetime", "node", "only_node", "over", "row")

    def __init__(self, row: int, kind: Kind, only_node: int, lifetime: float) -> None:
        self.row = row
        self.kind = kind
        self.only_node = only_node
        self.lifetime = lifetime
        self.node = ANYWHERE
        self.bound = 0.0
        self.copy: Copy | None = None
        self.over = False


class Replay:
    """One world of a plan; `run` it once."""

    def __init__(self, scenario: Scenario, starts: Starts, *, on_evicted: OnEvicted = lambda *_: None) -> None:
        self.scenario = scenario
        self.environment = simpy.Environment()
        self.runtime = SimpyRuntime(self.environment, seed=0, host="plan")
        self.network = Network(self.runtime)
        self.storage = Link("s3", rate_bytes_per_second(scenario.storage.bandwidth))
        rate = rate_bytes_per_second(scenario.nodes.network)
        self.journal = Journal()
        self.downloads = Downloads(
            self.runtime,
            self.network,
            self.journal,
            storage=self.storage,
            links=[Link(name, rate) for name in scenario.node_names()],
            latency_seconds=duration_seconds(scenario.storage.latency),
            on_arrival=self._arrived,
        )
        rules = rules_of(scenario)
        self.nodes = [
            PlannedNode(number, rules, self, self.runtime.monotonic) for number in range(scenario.nodes.count)
        ]
        self.placing = Placing(self.nodes, scenario.nodes.gpus)
        self._starts = starts
        self._on_evicted = on_evicted
        self._kinds: list[Kind] = []
        self._current: list[Kind] = []
        # Those that wait for a node, by what they need of it: the GPUs, and which node if not any will do.
        self._pending: dict[tuple[int, int], collections.deque[_Pod]] = {}
        self._living: list[dict[_Pod, None]] = [{} for _ in self.nodes]
        self._waiting: dict[tuple[int, int], list[_Pod]] = {}
        # What is wrong at this moment, as often as it is: faults may overlap.
        self._shares: list[float] = []
        self._nodes_away: collections.Counter[int] = collections.Counter()
        self._agents_away: collections.Counter[int] = collections.Counter()

    def run(self, progress: Progress | None = None) -> Played:
        """Let it all happen. `progress` is told the share of the time that has passed."""
        self.runtime.spawn(self.network.run(), name="network")
        for index in range(len(self.scenario.models)):
            self._current.append(self._introduce(index, version=0))
        self.consider(range(len(self.nodes)))
        for one in self._starts.replacements:
            self.at(one.seconds, functools.partial(self._replace, one.model))
        if len(self._starts):
            self.at(float(self._starts.seconds[0]), lambda: self._next_start(0))
        end = self._starts.duration_seconds
        for step in range(1, _PROGRESS_STEPS + 1):
            self.environment.run(until=end * step / _PROGRESS_STEPS)
            if progress is not None:
                progress(step / _PROGRESS_STEPS)
        self.downloads.stop_all()
        self.runtime.close()
        return self.journal.close(
            end,
            self._kinds,
            nodes=len(self.nodes),
            limit_bytes=self.nodes[0].rules.limit_bytes,
            models=[model.name for model in self.scenario.models],
        )

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something at a time; one that has passed is now."""
        delay = max(seconds - float(self.environment.now), 0.0)
        timeout = simpy.Timeout(self.environment, delay)
        timeout.callbacks.append(lambda _: act())

    # What nodes decide.

    def begin(self, node: int, copy: Copy, *, demanded: bool) -> None:
        self.downloads.begin(node, copy, demanded=demanded)

    def stop(self, node: int, copy: Copy, *, keep: bool) -> None:
        self.downloads.stop(node, copy, keep=keep)

    def evicted(self, node: int, copy: Copy, evict: Evict, seen: Seen) -> None:
        self.lost(node, copy)
        if evict.reason != NOT_ASSIGNED:
            self.journal.evict(self.runtime.monotonic(), node, copy.kind)
        self._on_evicted(node, copy, evict, seen)

    def lost(self, node: int, copy: Copy) -> None:
        """A copy is no longer there."""
        self.journal.drop(self.runtime.monotonic(), node, copy.kind)
        self.placing.note(node, copy.kind, held=False)

    # Pods.

    def _next_start(self, index: int) -> None:
        starts = self._starts
        if index + 1 < len(starts):
            self.at(float(starts.seconds[index + 1]), lambda: self._next_start(index + 1))
        kind = self._current[int(starts.models[index])]
        row = self.journal.start(self.runtime.monotonic(), kind)
        self._create(_Pod(row, kind, int(starts.nodes[index]), float(starts.lifetime_seconds[index])))

    def _create(self, pod: _Pod) -> None:
        wish = (pod.kind.gpus, pod.only_node)
        if wish in self._pending or not self._bind(pod):
            self._pending.setdefault(wish, collections.deque()).append(pod)

    def _bind_pending(self) -> None:
        """The pods that wait for a node, oldest first; one that finds none holds up nobody but its like."""
        hopeful = dict(self._pending)
        while hopeful:
            wish = min(hopeful, key=lambda wish: hopeful[wish][0].row)
            waiting = hopeful[wish]
            if not self._bind(waiting[0]):
                del hopeful[wish]
                continue
            waiting.popleft()
            if not waiting:
                del hopeful[wish], self._pending[wish]

    def _bind(self, pod: _Pod) -> bool:
        # It may have waited for longer than its version lasted.
        self._take_version(pod, self._current[pod.kind.model])
        if pod.only_node == ANYWHERE:
            node = self.placing.choose(pod.kind)
        else:
            node = pod.only_node if self.placing.has_room(pod.only_node, pod.kind) else None
        if node is None:
            return False
        pod.node = node
        pod.bound = self.runtime.monotonic()
        self.placing.bind(node, pod.kind)
        self._living[node][pod] = None
        self.journal.nodes[pod.row] = node
        self.journal.hits[pod.row] = self._join(pod, node)
        return True

    def _join(self, pod: _Pod, node: int) -> bool:
        """The pod is on its node, and takes its copy or waits for it. Whether it was there."""
        pod.copy = copy = self.nodes[node].use(pod.kind)
        if copy.held:
            self._serve(pod)
            return True
        self._waiting.setdefault((node, pod.kind.number), []).append(pod)
        self.consider([node, *self.placing.place(pod.kind)])
        return False

    def _serve(self, pod: _Pod) -> None:
        """The copy is there: the pod loads it, runs, and ends."""
        now = self.runtime.monotonic()
        ready = max(now, pod.bound + POD_START_SECONDS) + pod.kind.load_seconds
        self.journal.served[pod.row] = now
        self.journal.ready[pod.row] = ready
        self.at(ready + pod.lifetime, lambda: self._end(pod))

    def _end(self, pod: _Pod) -> None:
        if pod.over:
            return
        self._leave(pod)
        kind = pod.kind
        concerned = self.placing.place(kind)
        if self.nodes[pod.node].is_unsettled:
            concerned.append(pod.node)
        self.consider(concerned)
        if self._pending:
            self._bind_pending()

    def _leave(self, pod: _Pod) -> None:
        pod.over = True
        self._living[pod.node].pop(pod, None)
        self.placing.release(pod.node, pod.kind)
        if pod.copy is not None:
            self.nodes[pod.node].leave(pod.copy)

    def _arrived(self, node: int, copy: Copy) -> None:
        self.nodes[node].arrive(copy)
        self.journal.hold(self.runtime.monotonic(), node, copy.kind)
        self.placing.note(node, copy.kind, held=True)
        for pod in self._waiting.pop((node, copy.kind.number), ()):
            if not pod.over:
                self._serve(pod)
        self.consider([node, *self.placing.place(copy.kind)])

    def consider(self, nodes: Iterable[int]) -> None:
        """Let these nodes decide, each once."""
        for node in dict.fromkeys(nodes):
            self.nodes[node].consider()

    # What goes wrong.

    def slow_storage(self, share: float) -> None:
        """From now on the object store has this share of its bandwidth, or less if it has less already."""
        self._shares.append(share)
        self._set_storage()

    def restore_storage(self, share: float) -> None:
        """What took all but this share is over."""
        self._shares.remove(share)
        self._set_storage()

    def _set_storage(self) -> None:
        whole = rate_bytes_per_second(self.scenario.storage.bandwidth)
        self.network.set_rate(self.storage, whole * min(self._shares, default=1.0))

    def stop_agent(self, node: int) -> None:
        """What it had begun stays on the disk; what is published is used all the same."""
        self._agents_away[node] += 1
        self.nodes[node].agent_up = False
        for copy in list(self.nodes[node].copies.values()):
            self._interrupt(node, copy, keep=True)

    def start_agent(self, node: int) -> None:
        self._agents_away[node] -= 1
        if not self._agents_away[node]:
            self.nodes[node].agent_up = True
            self.consider([node])

    def lose_node(self, node: int, *, wiped: bool, patience_seconds: float) -> None:
        """The node goes, and its pods with it: they are made anew elsewhere, when nobody hopes for it any more."""
        there = self.nodes[node]
        self._nodes_away[node] += 1
        there.up = False
        self.placing.set_up(node, up=False)
        for copy in list(there.copies.values()):
            self._interrupt(node, copy, keep=not wiped)
            if wiped:
                copy.left_bytes = float(copy.kind.size_bytes)
            if wiped and copy.held:
                there.drop(copy)
                self.lost(node, copy)
        now = self.runtime.monotonic()
        for pod in list(self._living[node]):
            self._leave(pod)
            ready = self.journal.ready[pod.row]
            if not ready <= now:
                self.journal.served[pod.row] = self.journal.ready[pod.row] = math.nan
            rest = ready + pod.lifetime - now if ready <= now else None
            self.at(now + patience_seconds, functools.partial(self._make_anew, pod, rest))

    def _make_anew(self, lost: _Pod, rest: float | None) -> None:
        """A pod takes the place of a lost one, which had so much of its lifetime left; None: it had never been Ready.

        Whoever waited for that one goes on waiting.
        """
        if rest is None:
            self._create(_Pod(lost.row, lost.kind, ANYWHERE, lost.lifetime))
        else:
            self._create(_Pod(self.journal.start(self.runtime.monotonic(), lost.kind), lost.kind, ANYWHERE, rest))

    def return_node(self, node: int) -> None:
        self._nodes_away[node] -= 1
        if not self._nodes_away[node]:
            self.nodes[node].up = True
            self.placing.set_up(node, up=True)
            self.consider([node])
            self._bind_pending()

    def _interrupt(self, node: int, copy: Copy, *, keep: bool) -> None:
        if copy.working:
            copy.working = False
            self.downloads.stop(node, copy, keep=keep)

    # Models.

    def _introduce(self, index: int, version: int) -> Kind:
        """A model, or a new version of it, is listed for its nodes."""
        model = self.scenario.models[index]
        name = model.name if version == 0 else f"{model.name}@{version + 1}"
        size_bytes = quantity_bytes(model.size)
        kind = Kind(
            number=len(self._kinds),
            model=index,
            version=version,
            name=name,
            key=storage_key(f"s3://models/{name}"),
            size_bytes=size_bytes,
            load_seconds=size_bytes / rate_bytes_per_second(self.scenario.nodes.load_rate),
            priority=model.priority,
            pinned=model.pinned,
            copies=model.copies,
            gpus=model.gpus,
        )
        self._kinds.append(kind)
        self.placing.introduce(kind)
        return kind

    def _replace(self, index: int) -> None:
        """A new version has another URI: another cache, while the old one is deleted."""
        old = self._current[index]
        new = self._current[index] = self._introduce(index, old.version + 1)
        self.placing.withdraw(old)
        for node in range(len(self.nodes)):
            # Who still waits for the old version is made anew for the new one.
            for pod in self._waiting.pop((node, old.number), ()):
                if not pod.over and pod.copy is not None:
                    self.nodes[node].leave(pod.copy)
                    self._take_version(pod, new)
                    self._join(pod, node)
        self.consider(range(len(self.nodes)))

    def _take_version(self, pod: _Pod, kind: Kind) -> None:
        pod.kind = kind
        self.journal.kinds[pod.row] = kind.number


def rules_of(scenario: Scenario) -> Rules:
    """What the scenario's group and disks say, as a node of a plan needs it."""
    group = scenario.group
    return Rules(
        policy=EvictionPolicy(group.policy),
        limit_bytes=min(quantity_bytes(group.storage_limit), quantity_bytes(scenario.nodes.disk)),
        disk_bytes=quantity_bytes(scenario.nodes.disk),
        high_watermark=group.high_watermark,
        low_watermark=group.low_watermark,
        slots=group.max_concurrent_downloads,
    )
