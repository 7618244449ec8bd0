"""Wires a whole cluster onto SimPy: the production services, and the simulator's API server, nodes and S3.

Each host has a runtime of its own, so that it can crash alone; the services' constructors are the ones that their
`__main__` calls.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import msgspec

from cacheagent.agent import Agent
from cacheagent.assembly import TransferLimits
from cacheagent.options import AgentOptions
from cachecore.errors import Invalid
from cachecore.names import SYSTEM_NAMESPACE
from cachecore.quantity import quantity_bytes
from cachemanager.manager import Manager
from cachemanager.options import ManagerOptions
from cachesim.apiserver import ApiServer, InMemoryClient, WebhookFailure, WriteOptions
from cachesim.apiserver.store import Change
from cachesim.binder import VolumeBinder
from cachesim.definitions import load_definitions
from cachesim.disk import DiskEvent, SimulatedDisk
from cachesim.environment import Environment
from cachesim.faults.conditions import Conditions
from cachesim.faults.gate import Gate, Weather
from cachesim.faults.gated_client import GatedClient
from cachesim.faults.gated_disk import GatedDisk, Subjects
from cachesim.faults.gated_source import GatedMover, GatedStores
from cachesim.faults.injector import Injector
from cachesim.faults.plan import Fault
from cachesim.faults.sites import Sites
from cachesim.faults.weather import (
    ApiWeather,
    DiskWeather,
    StorageWeather,
    api_failure,
    disk_failure,
    source_failure,
)
from cachesim.fidelity import FidelityName, make_fidelity
from cachesim.kserve import KServeStandIn
from cachesim.kserve.definitions import kserve_definitions
from cachesim.latency import LaggedClient
from cachesim.network import Link, Network
from cachesim.node import Node, NodeLifecycle
from cachesim.node.heartbeats import Heartbeats
from cachesim.runtime import SimpyRuntime
from cachesim.scheduler import Scheduler
from cachesim.simulation.admission import InProcessAdmission
from cachesim.simulation.breakages import Breakages
from cachesim.simulation.checkers import Checkers, Violation
from cachesim.simulation.containers import SimulatedContainers
from cachesim.simulation.event_log import EventLog
from cachesim.simulation.housekeeping import housekeeping
from cachesim.simulation.machines import Begin, SimulatedHost, SimulatedProcess
from cachesim.simulation.manifests import (
    cache_object,
    group_object,
    model_files,
    namespace_object,
    webhook_configurations,
)
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.story import Story
from cachesim.simulation.units import duration_seconds, rate_bytes_per_second
from cachesim.simulation.words import Words
from cachesim.simulation.workload import NAMESPACE, Workload, make_workload, model_uri
from cachesim.simulation.world import World, published_key
from cachesim.sometimes.situations import Situations
from cachesim.source import FlowMover, SimulatedStores
from cachewebhook.webhook import Webhook, WebhookOptions

API_LATENCY_SECONDS = 0.002
# Seconds: longer than any fault lasts.
_BRING_UP_TRIES = 300


class SimulatedCluster:
    """A scenario's cluster. `start` brings it up; faults and workload act on it while SimPy runs."""

    def __init__(self, scenario: Scenario, seed: int, fidelity: FidelityName = "flow", *, checks: bool = True) -> None:
        self.scenario = scenario
        self.seed = seed
        self.environment = Environment()
        self._housekeeping = housekeeping(scenario.housekeeping)
        period_seconds = self._housekeeping.node.heartbeat_seconds
        self.heartbeats = None if self._housekeeping.writes_heartbeats else Heartbeats(period_seconds)
        self.runtime = SimpyRuntime(self.environment, seed=seed, host="control-plane", on_failure=self._task_failed)
        # Of its own: the same seed brings the same pods at the same times, whatever else draws lots meanwhile.
        self._traffic_runtime = SimpyRuntime(self.environment, seed=seed, host="traffic", on_failure=self._task_failed)
        self.log = EventLog(Words.of(scenario))
        self.storage_bytes_per_second = rate_bytes_per_second(scenario.storage.bandwidth)
        self.fidelity = make_fidelity(
            fidelity,
            link=Link("s3", self.storage_bytes_per_second),
            latency_seconds=duration_seconds(scenario.storage.latency),
            models_bytes=sum(quantity_bytes(model.size) for model in scenario.models),
            differs=lambda words: self._violated("fidelity", words),
        )
        self.source = self.fidelity.source
        self.admission = InProcessAdmission(self._review, self._violated)
        self.server = ApiServer(
            self.runtime,
            admission=self.admission,
            track_managed_fields=False,
            bookmark_interval_seconds=self._housekeeping.bookmark_seconds,
        )
        self.world = World(
            self.runtime.monotonic,
            self.server,
            self.source,
            limit_bytes=quantity_bytes(scenario.group.storage_limit),
            low_watermark=scenario.group.low_watermark,
        )
        self.checkers = Checkers(self.world)
        self._checks = checks
        self.checkers.observers.append(self._violation_found)
        self.server.store.listen(self._api_changed)
        self.network = Network(self.runtime)
        self.hosts: dict[str, SimulatedHost] = {}
        self.managers: dict[str, SimulatedProcess] = {}
        self.evictions = 0
        self.disk_observers: list[Callable[[str, DiskEvent], None]] = []
        self._processes: list[SimulatedProcess] = []
        self.conditions = Conditions()
        self.situations = Situations(self.world)
        self.sites = Sites()
        self.breakages = Breakages(self)
        self.injector = Injector(
            self.runtime,
            self.breakages,
            self.conditions,
            self.sites,
            nodes=scenario.node_names(),
            managers=scenario.manager_names(),
            models=[model.name for model in scenario.models],
            situations=self.situations,
            told=self.told,
        )
        self._subjects = Subjects(self.world.model_name)
        self._webhook: Webhook | None = None

    async def start(self) -> None:
        """Everything that the scenario has, from an empty cluster."""
        for model in self.scenario.models:
            self.source.add_model(model_uri(model), model_files(model))
        self.server.spawn_controllers()
        self.runtime.spawn(self.network.run(), name="network")
        for definition in (*load_definitions(), *kserve_definitions()):
            await self.create(definition)
        await self.create(namespace_object(NAMESPACE))
        await self.create(namespace_object(SYSTEM_NAMESPACE))
        self._start_control_plane()
        for configuration in webhook_configurations():
            await self.create(configuration)
        for name in self.scenario.node_names():
            self.add_host(name)
        await self.create(group_object(self.scenario))
        for model in self.scenario.models:
            if model.cached:
                await self._insist(cache_object(model))

    async def _insist(self, body: dict[str, Any]) -> None:
        """Create an object as a person does: the webhook may not have seen the group yet.

        Raises what it was refused with when that goes on for long: then the cluster does not come up.
        """
        for _ in range(_BRING_UP_TRIES):
            with contextlib.suppress(Invalid):
                await self.create(body)
                return
            await self.runtime.sleep(1.0)
        await self.create(body)

    def add_host(self, name: str) -> None:
        """A new machine, and power on."""
        link = Link(name, rate_bytes_per_second(self.scenario.nodes.network))
        disk = self.fidelity.new_disk(name, quantity_bytes(self.scenario.nodes.disk))
        disk.observers.append(functools.partial(self._disk_changed, name))
        self.world.disks[name] = disk
        host = self.hosts[name] = SimulatedHost(
            name,
            disk,
            link,
            kubelet=self._process(f"kubelet/{name}", name, self._begin_node),
            agent=self._process(f"agent/{name}", name, self._begin_agent),
        )
        host.power_on()

    def _process(self, name: str, node: str, begin: Begin) -> SimulatedProcess:
        process = SimulatedProcess(
            name,
            node,
            self.runtime,
            new_runtime=self._new_runtime,
            begin=begin,
            tell=self._note_host,
            notice=self.situations,
            suffer=self._suffer,
        )
        self._processes.append(process)
        return process

    def _begin_node(self, process: SimulatedProcess, runtime: SimpyRuntime) -> None:
        host = self.hosts[process.node]
        containers = SimulatedContainers(
            runtime,
            host.name,
            self.world,
            self.network,
            link=host.link,
            load_bytes_per_second=rate_bytes_per_second(self.scenario.nodes.load_rate),
            on_mount=self.checkers.mounted,
        )
        client = LaggedClient(runtime, self._server_client(host.name), latency_seconds=API_LATENCY_SECONDS)
        options = self._housekeeping.node
        node = Node(runtime, client, host.name, containers, options=options, heartbeats=self.heartbeats)
        runtime.spawn(node.run(), name=f"node {host.name}")

    def _begin_agent(self, process: SimulatedProcess, runtime: SimpyRuntime) -> GatedClient:
        host = self.hosts[process.node]
        disk = SimulatedDisk(runtime, host.disk)
        mover = FlowMover(runtime, self.network, self.source, disk, host.link, observer=self.checkers, node=host.name)
        disk_gate = self._gate(process, runtime, disk_failure, DiskWeather(self.conditions, host.name))
        source_gate = self._gate(process, runtime, source_failure, StorageWeather(runtime, self.conditions))
        client = self._client(process, runtime, f"agent-{host.name}")
        agent = Agent(
            runtime,
            client,
            GatedDisk(disk, disk_gate, self._subjects),
            GatedStores(SimulatedStores(runtime, self.source), source_gate),
            GatedMover(mover, source_gate, self._subjects),
            AgentOptions(
                node_name=host.name,
                transfer=TransferLimits(part_bytes=quantity_bytes(self.scenario.part_size)),
                **self._housekeeping.agent,
            ),
        )
        runtime.spawn(agent.run(), name=process.name)
        return client

    def _begin_manager(self, process: SimulatedProcess, runtime: SimpyRuntime) -> GatedClient:
        client = self._client(process, runtime, process.name)
        identity = f"{process.name}-{process.incarnation}"
        options = ManagerOptions(identity=identity, **self._housekeeping.manager)
        if len(self.managers) > 1:
            options = msgspec.structs.replace(options, leader_election=True)
        runtime.spawn(Manager(runtime, client, options).run(), name=process.name)
        return client

    async def create(self, body: dict[str, Any]) -> None:
        """Create any object from its JSON, as an administrator would."""
        resource_type = self.server.registry.find_api_version(body["apiVersion"], body["kind"])
        if resource_type is None:
            raise AssertionError(f"the API server does not know {body['apiVersion']} {body['kind']}")
        namespace = body["metadata"].get("namespace", "")
        await self.server.create(resource_type, body, namespace=namespace, options=WriteOptions(user="admin"))

    def admin_client(self) -> InMemoryClient:
        return self._server_client("admin")

    def story(self) -> Story:
        return Story(self.runtime, self.admin_client(), self, self.world, self.scenario, self.told)

    def workload(self) -> Workload | None:
        traffic = self.scenario.traffic
        if traffic is None:
            return None
        return make_workload(self._traffic_runtime, self.admin_client(), self.world, self.scenario, traffic, self.seed)

    def close(self) -> None:
        """End every coroutine that still waits, and leave no file behind."""
        try:
            for process in self._processes:
                if process.runtime is not None:
                    process.runtime.close()
            self._traffic_runtime.close()
            self.runtime.close()
        finally:
            self.fidelity.close()

    def _start_control_plane(self) -> None:
        client, keeping = self._server_client("control-plane"), self._housekeeping
        resync = keeping.resync_seconds
        for name, controller in (
            ("scheduler", Scheduler(self.runtime, client, resync_seconds=resync)),
            ("binder", VolumeBinder(self.runtime, client, resync_seconds=resync)),
            ("lifecycle", NodeLifecycle(self.runtime, client, keeping.lifecycle, heartbeats=self.heartbeats)),
            ("kserve", KServeStandIn(self.runtime, client, resync_seconds=resync)),
        ):
            self.runtime.spawn(controller.run(), name=name)
        webhook = self._process("webhook", "", self._begin_webhook)
        webhook.start()
        for name in self.scenario.manager_names():
            self.managers[name] = self._process(name, "", self._begin_manager)
            self.managers[name].start()

    def _begin_webhook(self, process: SimulatedProcess, runtime: SimpyRuntime) -> GatedClient:
        client = self._client(process, runtime, "webhook")
        self._webhook = Webhook(
            runtime, client, WebhookOptions(agent_image="localmodel-agent", **self._housekeeping.webhook)
        )
        runtime.spawn(self._webhook.run(), name="webhook")
        return client

    def _new_runtime(self, incarnation: str, node: str) -> SimpyRuntime:
        host = self.hosts.get(node)
        return SimpyRuntime(
            self.environment,
            seed=self.seed,
            host=incarnation,
            clock_skew_seconds=host.clock_skew_seconds if host is not None else 0.0,
            on_failure=self._task_failed,
        )

    def _server_client(self, user_agent: str) -> InMemoryClient:
        watch_seconds_min = self._housekeeping.watch_seconds_min
        return InMemoryClient(self.server, user_agent=user_agent, watch_seconds_min=watch_seconds_min)

    def _client(self, process: SimulatedProcess, runtime: SimpyRuntime, user_agent: str) -> GatedClient:
        weather = ApiWeather(runtime, self.conditions, process.node)
        lagged = LaggedClient(runtime, self._server_client(user_agent), latency_seconds=API_LATENCY_SECONDS)
        return GatedClient(runtime, lagged, self._gate(process, runtime, api_failure, weather), weather)

    def _gate(
        self, process: SimulatedProcess, runtime: SimpyRuntime, failure: Callable[[str], Exception], weather: Weather
    ) -> Gate:
        return Gate(runtime, self.sites, process.name, process, failure=failure, weather=weather)

    def _suffer(self, fault: Fault, process: SimulatedProcess) -> None:
        self.injector.begin(fault, self.injector.target_of(fault, process.name, process.node))

    def scrap_host(self, name: str) -> None:
        self.breakages.scrap(name)

    def release(self, uri: str) -> None:
        self.source.change_model(uri)

    def _review(self, path: str, body: bytes) -> bytes:
        if self._webhook is None or self.conditions.has("webhook-down"):
            raise WebhookFailure("the webhook does not answer")
        return self._webhook.review(path, body)

    def _api_changed(self, change: Change) -> None:
        metadata = change.item["metadata"]
        words = f"{change.type} {change.resource_type.plural} {metadata.get('namespace', '')}/{metadata['name']}"
        content = msgspec.json.encode(change.item, order="deterministic").decode()
        self.log.add(self.environment.now, "api", f"{words} {content}", subject=change)
        self.situations.api_changed(change)
        if self._checks:
            self.checkers.api_changed(change)

    def _disk_changed(self, node: str, event: DiskEvent) -> None:
        words = f"{node} {event.verb} {event.path} {event.target}"
        self.log.add(self.environment.now, "disk", words, subject=event, node=node)
        if event.verb == "rename" and published_key(event.path) and not published_key(event.target):
            self.evictions += 1
        self.situations.disk_changed(node, event)
        for observer in self.disk_observers:
            observer(node, event)
        if self._checks:
            self.checkers.disk_changed(node, event)

    def _violation_found(self, violation: Violation) -> None:
        self.log.note(violation.time, "violation", f"{violation.invariant}: {violation.message}")

    def revive(self) -> None:
        """All faults stop: whatever was down or stood still goes on."""
        self.injector.heal()
        for name, host in self.hosts.items():
            for process in (host.kubelet, host.agent):
                process.pause(paused=False)
            if not host.kubelet.running:
                self.breakages.start_host(name)
            host.agent.ensure_running()
        for manager in self.managers.values():
            manager.pause(paused=False)
            manager.ensure_running()

    def told(self, kind: str, words: str) -> None:
        """Something that is no change of the world: a fault, its end, a step of the story."""
        self.log.add(self.environment.now, kind, words)

    def _note_host(self, name: str, words: str) -> None:
        self.log.note(self.environment.now, "host", words, node=name)

    def _violated(self, invariant: str, message: str) -> None:
        self.checkers.fail(invariant, message)

    def _task_failed(self, name: str, error: BaseException) -> None:
        self.checkers.fail("crash", f"{name}: {type(error).__name__}: {error}")
