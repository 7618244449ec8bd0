"""The control plane of a local cluster: the one that runs in this process, or what else has its shape."""

from __future__ import annotations

import contextlib
import datetime
import secrets
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

from cachecore.errors import NotFound
from cachecore.ports import ClusterClient, Runtime
from cachecore.resources.meta import JsonObject
from cachesim.apiserver import ApiServer, InMemoryClient, WriteOptions
from cachesim.apiserver.http import HttpFront, HttpsAdmissionCaller, PodLogs
from cachesim.apiserver.http.admission import ServiceLookup
from cachesim.apiserver.verbs import RawVerbs
from cachesim.binder.binder import VolumeBinder
from cachesim.controlplane.control_plane import ADMIN
from cachesim.host.certificates import make_certificate
from cachesim.host.kubeconfig import write_kubeconfig
from cachesim.host.ports import ADDRESS
from cachesim.node.lifecycle import LifecycleOptions, NodeLifecycle
from cachesim.scheduler.scheduler import Scheduler

# Pods of a deleted node go soon: a person is watching.
_LIFECYCLE = LifecycleOptions(period_seconds=1.0, orphan_seconds=2.0)


class ControlPlane(Protocol):
    """What a local cluster asks of its control plane. `async with` it: it is ready inside."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    @property
    def url(self) -> str: ...

    @property
    def verbs(self) -> RawVerbs:
        """The verbs over plain objects, as the admin."""
        ...

    def write_kubeconfig(self, path: Path, user: str) -> None:
        """For one of the users that it was made with. Raises InvalidInput when it can't be written."""
        ...

    async def client(self, user_agent: str) -> ClusterClient:
        """A client with the admin's rights, closed with the control plane."""
        ...

    async def apply(self, content: JsonObject) -> JsonObject:
        """Server-side apply as the admin. Raises `NotFound` for a kind that has not been defined."""
        ...

    async def controllers(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """What of it has to run in this process, by name."""
        ...


class EmbeddedControlPlane:
    """The API server in memory behind its HTTP front, with stand-ins for the controllers and the scheduler."""

    def __init__(
        self,
        runtime: Runtime,
        directory: Path,
        *,
        port: int,
        users: Mapping[str, str],
        find_service: ServiceLookup,
        pod_logs: Callable[[ApiServer], PodLogs],
    ) -> None:
        self._runtime = runtime
        self._directory = directory
        self._port = port
        self._users = {ADMIN: ADMIN, **users}
        self._tokens = {user: secrets.token_urlsafe(24) for user in self._users}
        self._find_service = find_service
        self._pod_logs = pod_logs
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            caller = await stack.enter_async_context(HttpsAdmissionCaller(self._find_service))
            self.server = ApiServer(self._runtime, admission=caller)
            self._certificate = make_certificate(
                self._directory / "certificates" / "api",
                (ADDRESS, "localhost"),
                now=datetime.datetime.now(datetime.UTC),
            )
            self._front = HttpFront(
                self.server,
                address=ADDRESS,
                port=self._port,
                users_by_token={self._tokens[user]: name for user, name in self._users.items()},
                pod_logs=self._pod_logs(self.server),
                tls=(self._certificate.certificate, self._certificate.private_key),
            )
            await stack.enter_async_context(self._front)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        return self._front.url

    @property
    def verbs(self) -> ApiServer:
        return self.server

    def write_kubeconfig(self, path: Path, user: str) -> None:
        authority = self._certificate.authority
        write_kubeconfig(path, url=self.url, authority=authority, user=user, token=self._tokens[user])

    async def client(self, user_agent: str) -> ClusterClient:
        return InMemoryClient(self.server, user_agent=user_agent)

    async def apply(self, content: JsonObject) -> JsonObject:
        metadata = content["metadata"]
        resource_type = self.server.registry.find_api_version(content["apiVersion"], content["kind"])
        if resource_type is None:
            raise NotFound(f"there is no kind {content['kind']} in {content['apiVersion']}")
        answer = await self.server.patch(
            resource_type,
            metadata["name"],
            "application/apply-patch+yaml",
            content,
            namespace=metadata.get("namespace", ""),
            options=WriteOptions(field_manager="localmodel", force=True, user=ADMIN, user_agent="localmodel"),
        )
        return answer.object

    async def controllers(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        runtime = self._runtime
        return [
            ("garbage-collector", self.server.run_garbage_collector()),
            ("namespace-controller", self.server.run_namespace_controller()),
            ("scheduler", Scheduler(runtime, await self.client("kube-scheduler")).run()),
            ("volume-binder", VolumeBinder(runtime, await self.client("volume-binder")).run()),
            ("node-lifecycle", NodeLifecycle(runtime, await self.client("node-lifecycle"), _LIFECYCLE).run()),
        ]
