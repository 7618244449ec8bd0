"""The local cluster: everything that `localmodel up` runs, as one asynchronous context."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import secrets
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.errors import InvalidInput, LocalModelError, NotFound
from cachecore.names import SYSTEM_NAMESPACE
from cachecore.ports import ClusterClient, Runtime, Task
from cachecore.resources.core import Node
from cachecore.resources.meta import JsonObject
from cachesim.apiserver.http import ServiceAddress
from cachesim.apiserver.verbs import RawVerbs
from cachesim.controlplane import KubeControlPlane, KubeOptions
from cachesim.controlplane.control_plane import ADMIN
from cachesim.definitions import load_definitions
from cachesim.host.certificates import ServerCertificate, make_certificate
from cachesim.host.ports import ADDRESS, bind, reserve_port
from cachesim.host.service_process import ServiceFailed, ServiceProcess, tail
from cachesim.kserve.definitions import kserve_definitions
from cachesim.kserve.standin import KServeStandIn
from cachesim.localcluster import commands, objects
from cachesim.localcluster.commands import ServicePorts
from cachesim.localcluster.disks import NodeDisk, check_disk_size
from cachesim.localcluster.kubelet_server import KubeletServer
from cachesim.localcluster.local_node import LocalNode
from cachesim.localcluster.options import LocalClusterOptions
from cachesim.localcluster.planes import ControlPlane, EmbeddedControlPlane
from cachesim.localcluster.pod_logs import LocalPodLogs
from cachesim.localcluster.s3 import LocalS3
from cachesim.localcluster.state import StateDirectory
from cachesim.node.options import NodeOptions

# Each is a process with an interpreter of its own; more is for `localmodel simulate`.
_MOST_NODES = 100
_WEBHOOK_SERVICE = "localmodel-webhook"
_LOGGED = ("cachecore", "cachesim", "uvicorn")


class LocalCluster:
    """`async with LocalCluster(options) as cluster:` everything is ready inside, and gone outside.

    Attributes, all valid inside the context: `client` and `verbs` (as the admin), `api_url`, `kubeconfig`, `state` (the
    directory of logs and disks), `s3`, `manager`, `webhook`.

    When a part of the control plane ends by itself, whoever is inside is cancelled, and the context raises the
    `ServiceFailed` that ends in its last words.
    """

    client: ClusterClient
    verbs: RawVerbs
    api_url: str
    kubeconfig: Path
    state: Path
    s3: LocalS3
    manager: ServiceProcess
    webhook: ServiceProcess

    def __init__(self, options: LocalClusterOptions = LocalClusterOptions(), *, runtime: Runtime | None = None) -> None:
        self.options = options
        self.runtime = runtime or AsyncioRuntime()
        self._stack = contextlib.AsyncExitStack()
        self._owner: asyncio.Task[Any] | None = None
        self._failure: ServiceFailed | None = None
        self._services: dict[str, ServiceProcess] = {}
        self._nodes: dict[str, LocalNode] = {}
        self._node_options = NodeOptions()
        self._webhook_port = 0

    async def __aenter__(self) -> Self:
        if not 0 <= self.options.nodes <= _MOST_NODES:
            raise InvalidInput(f"{self.options.nodes} nodes: give a number from 0 to {_MOST_NODES}")
        check_disk_size(self.options.disk_bytes)
        self._owner = asyncio.current_task()
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        # From here on nobody is cancelled: the cleaning up has to come to its end.
        owner, self._owner = self._owner, None
        await self._stack.aclose()
        # The loop needs a turn to close the transports of the processes that have ended.
        await asyncio.sleep(0)
        if self._failure is not None:
            if owner is not None:
                owner.uncancel()
            # In place of the cancellation by which everything inside was ended, as `asyncio.timeout` does it.
            raise self._failure from None

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the nodes that are there, in order: node-1, node-2, ..."""
        return tuple(self._nodes)

    def agent(self, node: str) -> ServiceProcess:
        """The agent of a node. Raises `NotFound`."""
        return self._service(f"agent-{node}")

    async def add_node(self, name: str) -> None:
        """A new machine (or the same one, come back: its disk is as it was left). Ready when this returns."""
        if name in self._nodes:
            raise InvalidInput(f"there is a node {name} already")
        node = await self._make_node(name)
        self._nodes[name] = node
        await node.start()
        if node.agent is not None:
            await node.agent.ready(self.options.ready_timeout_seconds)

    async def delete_node(self, name: str, *, wipe_disk: bool = False) -> None:
        """Take the machine away: its pods and its agent end at once, then the Node object is deleted."""
        node = self._nodes.pop(name, None)
        if node is None:
            raise NotFound(f"there is no node {name}; there are: {', '.join(self._nodes)}")
        await node.stop(agent_grace_seconds=0.0)
        self._services.pop(f"agent-{name}", None)
        await (node.disk.wipe() if wipe_disk else node.disk.detach())
        await self.client.delete(Node, name)

    def node_root(self, name: str) -> Path:
        """The directory that is `/` on that node's disk."""
        return self._state.node_root(name)

    def store_root(self, name: str) -> Path:
        """Where the agent of that node keeps the models: `<node_root>/var/lib/localmodel`."""
        return self.node_root(name) / self.options.group_path.lstrip("/")

    def logs(self, name: str, lines: int = 50) -> str:
        """The end of the log of `cluster`, `manager`, `webhook`, `s3` or `agent-<node>`."""
        return tail(self._state.log(name), lines)

    async def add_credentials(self, namespace: str) -> None:
        """Pods of that namespace can read S3 by its default service account, its caches by `storage.key: local-s3`."""
        for content in objects.credentials(self.s3, namespace):
            await self.apply(content)

    async def apply(self, content: JsonObject) -> JsonObject:
        """Server-side apply, as the admin."""
        return await self._plane.apply(content)

    async def _start(self) -> None:
        self._state = StateDirectory(self.options.state)
        self._stack.callback(self._state.close)
        self.state = self._state.root
        self._state.open()
        self._stack.enter_context(_logging_to(self._state.log("cluster"), self.options.log_level))
        s3 = await self._start_s3()
        await self._start_api()
        for definition in load_definitions():
            await self.apply(objects.as_applied(definition))
        for content in (*kserve_definitions(), *objects.first_objects(self.s3)):
            await self.apply(content)
        await self._start_controllers()
        for number in range(1, self.options.nodes + 1):
            name = f"node-{number}"
            self._nodes[name] = await self._make_node(name)
        self._stack.push_async_callback(self._stop_nodes)
        if self.options.services:
            await self._start_manager_and_webhook()
        await _together(node.start() for node in self._nodes.values())
        ready = [service.ready(self.options.ready_timeout_seconds) for service in (s3, *self._services.values())]
        await _together(ready)

    async def _start_s3(self) -> ServiceProcess:
        listening = bind(ADDRESS, self.options.s3_port)
        listening.listen(128)
        listening.set_inheritable(True)
        self.s3 = LocalS3(
            endpoint_url=f"http://{ADDRESS}:{listening.getsockname()[1]}",
            access_key="LOCAL" + secrets.token_hex(8).upper(),
            secret_key=secrets.token_urlsafe(30),
        )
        service = ServiceProcess(
            "s3",
            commands.s3_server(listening.fileno(), self.options.s3_bytes_per_second),
            log_path=self._state.log("s3"),
            ready_url=self.s3.counters_url,
            # moto keeps what is larger than a few megabytes in temporary files.
            environment=commands.environment(self._state.scratch, self.s3),
            inherited=(listening.fileno(),),
        )
        self._stack.callback(listening.close)
        self._stack.push_async_callback(service.stop)
        await service.start()
        return service

    async def _start_api(self) -> None:
        users = ("manager", "webhook", "agent")
        self._plane = await self._stack.enter_async_context(self._make_plane(users))
        self.api_url = self._plane.url
        self.verbs = self._plane.verbs
        self.client = await self._plane.client("localmodel")
        self.kubeconfig = absolute_path(self.options.kubeconfig or str(self.state / "kubeconfig"))
        self._plane.write_kubeconfig(self.kubeconfig, ADMIN)
        # Of no use to anybody once the server is gone.
        self._stack.callback(self.kubeconfig.unlink, missing_ok=True)
        if isinstance(self._plane, KubeControlPlane):
            await self._serve_logs(self._plane)
        for user in users:
            self._plane.write_kubeconfig(self._state.kubeconfig(user), user)

    def _make_plane(self, users: tuple[str, ...]) -> ControlPlane:
        # Each has a token of its own, and may do everything.
        names = {user: f"system:serviceaccount:{SYSTEM_NAMESPACE}:localmodel-{user}" for user in users}
        if self.options.control_plane == "kube":
            return KubeControlPlane(
                self._state.scratch / "control-plane",
                KubeOptions(port=self.options.port, ready_timeout_seconds=self.options.ready_timeout_seconds),
                users=names,
                log_path=self._state.log,
                died=self._plane_died,
            )
        return EmbeddedControlPlane(
            self.runtime,
            self.state,
            port=self.options.port,
            users=names,
            find_service=self._find_service,
            pod_logs=lambda server: LocalPodLogs(server, self._running_root, self._node_options),
        )

    async def _serve_logs(self, plane: KubeControlPlane) -> None:
        """What a real API server asks the nodes themselves for."""
        files = plane.files
        server = KubeletServer(
            plane.verbs,
            LocalPodLogs(plane.verbs, self._running_root, self._node_options),
            certificate=files.certificate,
            private_key=files.private_key,
            authority=files.authority,
        )
        await self._stack.enter_async_context(server)
        self._node_options = msgspec.structs.replace(self._node_options, kubelet_port=server.port)

    def _plane_died(self, failure: ServiceFailed) -> None:
        self._failure = failure
        if self._owner is not None:
            self._owner.cancel()

    async def _start_controllers(self) -> None:
        kserve = KServeStandIn(self.runtime, await self._plane.client("kserve-controller"))
        running = [*await self._plane.controllers(), ("kserve", kserve.run())]
        tasks = [self.runtime.spawn(coroutine, name=name) for name, coroutine in running]
        self._stack.push_async_callback(_cancel_all, tasks)

    async def _start_manager_and_webhook(self) -> None:
        level = self.options.log_level
        ports = ServicePorts(status=self._reserve_port(), webhook=self._reserve_port())
        certificate: ServerCertificate = make_certificate(
            self.state / "certificates" / "webhook",
            (ADDRESS, "localhost", f"{_WEBHOOK_SERVICE}.{SYSTEM_NAMESPACE}.svc"),
            now=datetime.datetime.now(datetime.UTC),
        )
        manager_ports = ServicePorts(status=self._reserve_port())
        self.manager = self._make_service(
            "manager", commands.manager(self._state.kubeconfig("manager"), manager_ports, level), manager_ports
        )
        self.webhook = self._make_service(
            "webhook", commands.webhook(self._state.kubeconfig("webhook"), ports, level, certificate), ports
        )
        self._stack.push_async_callback(_stop_all, [self.manager, self.webhook])
        self._webhook_port = ports.webhook
        url = f"https://{ADDRESS}:{ports.webhook}"
        for content in objects.webhook_configurations(url, certificate.authority):
            await self.apply(content)
        await self.manager.start()
        await self.webhook.start()

    async def _make_node(self, name: str) -> LocalNode:
        disk = NodeDisk(self._state, name, self.options.disk_bytes)
        agent = None
        if self.options.services:
            ports = ServicePorts(status=self._reserve_port())
            command = commands.agent(
                self._state.kubeconfig("agent"), ports, self.options.log_level, name, self.store_root(name)
            )
            agent = self._make_service(f"agent-{name}", command, ports, self.s3)
        return LocalNode(
            self.runtime,
            await self._plane.client(f"kubelet-{name}"),
            self._state,
            disk,
            name=name,
            store_root=self.store_root(name),
            agent=agent,
            options=self._node_options,
        )

    def _make_service(
        self, name: str, command: tuple[str, ...], ports: ServicePorts, s3: LocalS3 | None = None
    ) -> ServiceProcess:
        service = self._services[name] = ServiceProcess(
            name,
            command,
            log_path=self._state.log(name),
            ready_url=f"http://{ADDRESS}:{ports.status}/readyz",
            environment=commands.environment(self._state.scratch, s3),
        )
        return service

    async def _stop_nodes(self) -> None:
        await asyncio.gather(*(node.stop() for node in self._nodes.values()))
        for node in self._nodes.values():
            await node.disk.detach()

    def _reserve_port(self) -> int:
        reserved = reserve_port()
        self._stack.callback(reserved.close)
        port: int = reserved.getsockname()[1]
        return port

    def _service(self, name: str) -> ServiceProcess:
        if name not in self._services:
            raise NotFound(f"there is no {name}; there are: {', '.join(self._services)}")
        return self._services[name]

    def _find_service(self, namespace: str, name: str, _port: int) -> ServiceAddress | None:
        """Where the webhook's Service is, for configurations that name it as when it is deployed."""
        if (namespace, name) != (SYSTEM_NAMESPACE, _WEBHOOK_SERVICE) or not self._webhook_port:
            return None
        return ServiceAddress(host=ADDRESS, port=self._webhook_port)

    def _running_root(self, node: str) -> Path | None:
        return self._state.node_root(node) if node in self._nodes else None


def absolute_path(path: str) -> Path:
    return Path(path).expanduser().absolute()


async def _together(coroutines: Any) -> None:
    """All at once; the first error that a person can act on is raised alone."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except* LocalModelError as errors:
        raise errors.exceptions[0] from None


async def _stop_all(services: list[ServiceProcess]) -> None:
    await asyncio.gather(*(service.stop() for service in services))


async def _cancel_all(tasks: list[Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(LocalModelError):
            await task.join()


@contextlib.contextmanager
def _logging_to(path: Path, level: str) -> Any:
    """What the parts in this process say goes to a file, as with every other part."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in _LOGGED]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(level.upper())
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()
