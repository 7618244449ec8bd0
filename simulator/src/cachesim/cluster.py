"""Wires a whole cluster onto SimPy: the production services, and the simulator's API server, nodes and S3.

Each host has a runtime of its own, so that it can crash alone; the services' constructors are the ones that their
`__main__` calls.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import simpy

from cacheagent.agent import Agent
from cacheagent.assembly import TransferLimits
from cacheagent.options import AgentOptions
from cachecore.names import SYSTEM_NAMESPACE
from cachecore.quantity import quantity_bytes
from cachemanager.manager import Manager
from cachemanager.options import ManagerOptions
from cachesim.apiserver import ApiServer, InMemoryClient, WebhookFailure, WriteOptions
from cachesim.apiserver.store import Change
from cachesim.binder import VolumeBinder
from cachesim.definitions import load_definitions
from cachesim.disk import DiskEvent, DiskWorld, SimulatedDisk
from cachesim.latency import LaggedClient
from cachesim.network import Link, Network
from cachesim.node import Node, NodeLifecycle
from cachesim.runtime import SimpyRuntime
from cachesim.scheduler import Scheduler
from cachesim.simulation.admission import InProcessAdmission
from cachesim.simulation.checkers import Checkers, Violation
from cachesim.simulation.containers import SimulatedContainers
from cachesim.simulation.event_log import EventLog
from cachesim.simulation.manifests import cache_object, group_object, namespace_object, webhook_configurations
from cachesim.simulation.scenario import Scenario, duration_seconds, rate_bytes_per_second
from cachesim.simulation.words import Words
from cachesim.simulation.workload import NAMESPACE, Workload, model_uri
from cachesim.simulation.world import World, published_key
from cachesim.source import FlowMover, SimulatedStores, SourceWorld
from cachewebhook.webhook import Webhook, WebhookOptions

API_LATENCY_SECONDS = 0.002
# A part is one flow: larger than in production, where it is 16 MiB, so that a terabyte costs a thousand events.
PART_BYTES = 2**30


class SimulatedHost:
    """One machine of the cluster: what survives a crash (disk, network card), and the processes of one incarnation."""

    def __init__(self, name: str, disk: DiskWorld, link: Link) -> None:
        self.name = name
        self.disk = disk
        self.link = link
        self.incarnation = 0
        self.node_runtime: SimpyRuntime | None = None
        self.agent_runtime: SimpyRuntime | None = None


class SimulatedCluster:
    """A scenario's cluster. `start` brings it up; faults and workload act on it while SimPy runs."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.seed = seed
        self.environment = simpy.Environment()
        self.runtime = SimpyRuntime(self.environment, seed=seed, host="control-plane", on_failure=self._task_failed)
        self.log = EventLog(Words.of(scenario))
        self.source = SourceWorld(
            link=Link("s3", rate_bytes_per_second(scenario.storage.bandwidth)),
            latency_seconds=duration_seconds(scenario.storage.latency),
        )
        self.admission = InProcessAdmission(self._review, self._violated)
        self.server = ApiServer(self.runtime, admission=self.admission, track_managed_fields=False)
        self.world = World(
            self.runtime.monotonic,
            self.server,
            self.source,
            limit_bytes=quantity_bytes(scenario.group.storage_limit),
            high_watermark=scenario.group.high_watermark,
        )
        self.checkers = Checkers(self.world)
        self.checkers.observers.append(self._violation_found)
        self.server.store.listen(self._api_changed)
        self.network = Network(self.runtime)
        self.hosts: dict[str, SimulatedHost] = {}
        self.evictions = 0
        self.manager_runtime: SimpyRuntime | None = None
        self._managers = 0
        self._webhook: Webhook | None = None

    async def start(self) -> None:
        """Everything that the scenario has, from an empty cluster."""
        self.server.spawn_controllers()
        self.runtime.spawn(self.network.run(), name="network")
        for definition in load_definitions():
            await self.create(definition)
        await self.create(namespace_object(NAMESPACE))
        await self.create(namespace_object(SYSTEM_NAMESPACE))
        self._start_control_plane()
        for configuration in webhook_configurations():
            await self.create(configuration)
        for name in self.scenario.node_names():
            link = Link(name, rate_bytes_per_second(self.scenario.nodes.network))
            disk = DiskWorld(quantity_bytes(self.scenario.nodes.disk))
            host = self.hosts[name] = SimulatedHost(name, disk, link)
            self.world.disks[name] = host.disk
            host.disk.observers.append(functools.partial(self._disk_changed, name))
            self.start_host(name)
        await self.create(group_object(self.scenario))
        for model in self.scenario.models:
            size = quantity_bytes(model.size)
            shares = [size // model.files] * (model.files - 1)
            shares.append(size - sum(shares))
            self.source.add_model(
                model_uri(model), {f"model-{number:05}.safetensors": share for number, share in enumerate(shares, 1)}
            )
            if model.cached:
                await self.create(cache_object(model))

    def start_host(self, name: str) -> None:
        """Power on: the node and its agent, over whatever the disk holds. What still runs there is cut off."""
        self.crash_host(name)
        host = self.hosts[name]
        host.incarnation += 1
        runtime = host.node_runtime = self._new_runtime(f"{name}/{host.incarnation}")
        containers = SimulatedContainers(
            runtime,
            name,
            self.world,
            self.network,
            link=host.link,
            load_bytes_per_second=rate_bytes_per_second(self.scenario.nodes.load_rate),
            on_mount=self.checkers.mounted,
        )
        node = Node(runtime, self._client(runtime, name), name, containers)
        runtime.spawn(node.run(), name=f"node {name}")
        self._note_host(name, "node started")
        self.start_agent(name)

    def start_agent(self, name: str) -> None:
        """The agent's process alone, as the DaemonSet's pod would be started again: never two, none on a dead host."""
        host = self.hosts[name]
        if host.node_runtime is None or host.node_runtime.crashed:
            return
        self.crash_agent(name)
        host.incarnation += 1
        runtime = host.agent_runtime = self._new_runtime(f"{name}/agent/{host.incarnation}")
        disk = SimulatedDisk(runtime, host.disk)
        mover = FlowMover(runtime, self.network, self.source, disk, host.link, observer=self.checkers, node=name)
        agent = Agent(
            runtime,
            self._client(runtime, f"agent-{name}"),
            disk,
            SimulatedStores(runtime, self.source),
            mover,
            AgentOptions(node_name=name, transfer=TransferLimits(part_bytes=PART_BYTES)),
        )
        runtime.spawn(agent.run(), name=f"agent {name}")
        self._note_host(name, "agent started")

    def crash_agent(self, name: str) -> None:
        runtime = self.hosts[name].agent_runtime
        if runtime is not None:
            if not runtime.crashed:
                self._note_host(name, "agent stopped")
            runtime.crash()

    def crash_manager(self) -> None:
        if self.manager_runtime is not None:
            if not self.manager_runtime.crashed:
                self._note_host("", f"manager-{self._managers} stopped")
            self.manager_runtime.crash()

    def wipe_disk(self, name: str) -> None:
        self.hosts[name].disk.wipe()

    def crash_host(self, name: str) -> None:
        """Power off: the node, its containers and its agent end at this instant."""
        self.crash_agent(name)
        runtime = self.hosts[name].node_runtime
        if runtime is not None:
            if not runtime.crashed:
                self._note_host(name, "node stopped")
            runtime.crash()

    def start_manager(self) -> None:
        self.crash_manager()
        self._managers += 1
        runtime = self.manager_runtime = self._new_runtime(f"manager/{self._managers}")
        options = ManagerOptions(leader_election=True, identity=f"manager-{self._managers}")
        manager = Manager(runtime, self._client(runtime, "manager"), options)
        runtime.spawn(manager.run(), name="manager")
        self._note_host("", f"{options.identity} started")

    async def create(self, body: dict[str, Any]) -> None:
        """Create any object from its JSON, as an administrator would."""
        resource_type = self.server.registry.find_api_version(body["apiVersion"], body["kind"])
        if resource_type is None:
            raise AssertionError(f"the API server does not know {body['apiVersion']} {body['kind']}")
        namespace = body["metadata"].get("namespace", "")
        await self.server.create(resource_type, body, namespace=namespace, options=WriteOptions(user="admin"))

    def admin_client(self) -> InMemoryClient:
        return InMemoryClient(self.server, user_agent="admin")

    def workload(self) -> Workload | None:
        traffic = self.scenario.traffic
        if traffic is None:
            return None
        return Workload(self.runtime, self.admin_client(), self.world, traffic, self.scenario.models)

    def close(self) -> None:
        """End every coroutine that still waits."""
        runtimes = [self.manager_runtime, *(host.agent_runtime for host in self.hosts.values())]
        runtimes += [host.node_runtime for host in self.hosts.values()]
        for runtime in [*runtimes, self.runtime]:
            if runtime is not None:
                runtime.close()

    def _start_control_plane(self) -> None:
        client = InMemoryClient(self.server, user_agent="control-plane")
        for name, controller in (
            ("scheduler", Scheduler(self.runtime, client)),
            ("binder", VolumeBinder(self.runtime, client)),
            ("lifecycle", NodeLifecycle(self.runtime, client)),
        ):
            self.runtime.spawn(controller.run(), name=name)
        self._webhook = Webhook(
            self.runtime, self._client(self.runtime, "webhook"), WebhookOptions(agent_image="localmodel-agent")
        )
        self.runtime.spawn(self._webhook.run(), name="webhook")
        self.start_manager()

    def _new_runtime(self, host: str) -> SimpyRuntime:
        return SimpyRuntime(self.environment, seed=self.seed, host=host, on_failure=self._task_failed)

    def _client(self, runtime: SimpyRuntime, user_agent: str) -> LaggedClient:
        return LaggedClient(
            runtime, InMemoryClient(self.server, user_agent=user_agent), latency_seconds=API_LATENCY_SECONDS
        )

    def _review(self, path: str, body: bytes) -> bytes:
        if self._webhook is None:
            raise WebhookFailure("the webhook is not up yet")
        return self._webhook.review(path, body)

    def _api_changed(self, change: Change) -> None:
        metadata = change.item["metadata"]
        words = f"{change.type} {change.resource_type.plural} {metadata.get('namespace', '')}/{metadata['name']}"
        content = msgspec.json.encode(change.item, order="deterministic").decode()
        self.log.add(self.environment.now, "api", f"{words} {content}", subject=change)
        self.checkers.api_changed(change)

    def _disk_changed(self, node: str, event: DiskEvent) -> None:
        words = f"{node} {event.verb} {event.path} {event.target}"
        self.log.add(self.environment.now, "disk", words, subject=event, node=node)
        if event.verb == "rename" and published_key(event.path) and not published_key(event.target):
            self.evictions += 1
        self.checkers.disk_changed(node, event)

    def _violation_found(self, violation: Violation) -> None:
        self.log.note(violation.time, "violation", f"{violation.invariant}: {violation.message}")

    def _note_host(self, name: str, words: str) -> None:
        self.log.note(self.environment.now, "host", words, node=name)

    def _violated(self, invariant: str, message: str) -> None:
        self.checkers.fail(invariant, message)

    def _task_failed(self, name: str, error: BaseException) -> None:
        self.checkers.fail("crash", f"{name}: {type(error).__name__}: {error}")
