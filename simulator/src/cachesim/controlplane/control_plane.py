"""The control plane as processes: started in order, ready, and gone in the end."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import secrets
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cachecore.adapters.kube import KubeClient, connect
from cachesim.apiserver.http.raw_client import HttpVerbs
from cachesim.controlplane import arguments
from cachesim.controlplane.applying import Applier
from cachesim.controlplane.arguments import ADDRESS, AUDIT_POLICY, SERVICE_ADDRESS, Files, Ports
from cachesim.controlplane.binaries import PARTS, find_binaries
from cachesim.controlplane.options import KubeOptions
from cachesim.host.certificates import make_certificate
from cachesim.host.kubeconfig import write_kubeconfig
from cachesim.host.ports import reserve_port
from cachesim.host.service_process import ServiceFailed, ServiceProcess

ADMIN = "admin"
_ETCD, _API_SERVER, _CONTROLLER_MANAGER, _SCHEDULER = PARTS


class KubeControlPlane:
    """`async with KubeControlPlane(directory) as plane:` it is ready inside, and gone outside.

    `users` get a token each; their values are the names that the API server knows them by. They may do everything, as
    "admin" may, but for the parts of a node ("system:node:NAME", "system:kube-proxy"), which have rights of their own.
    `died` is told when a part ends by itself: it is not started again.

    Raises `NoBinaries` when there is nothing to start, `InvalidInput` for a port that is taken, `ServiceFailed` with
    the last words of a part that does not become ready. Inside, `verbs` are the API server's over plain objects, as the
    admin.
    """

    verbs: HttpVerbs

    def __init__(
        self,
        directory: Path,
        options: KubeOptions = KubeOptions(),
        *,
        users: dict[str, str] | None = None,
        log_path: Callable[[str], Path] | None = None,
        died: Callable[[ServiceFailed], None] | None = None,
    ) -> None:
        self.files = Files(directory=directory)
        self.options = options
        self._log_path = log_path or (lambda part: directory / f"{part}.log")
        self._died = died
        self._users = {ADMIN: ADMIN, **(users or {})}
        self._tokens = {user: secrets.token_urlsafe(24) for user in self._users}
        self._stack = contextlib.AsyncExitStack()
        self._parts: dict[str, ServiceProcess] = {}
        self._starting: asyncio.Task[Any] | None = None
        self._failure: ServiceFailed | None = None

    async def __aenter__(self) -> Self:
        self._binaries = find_binaries()
        self._starting = asyncio.current_task()
        try:
            await self._start()
        except BaseException as error:
            await self._stack.aclose()
            if self._failure is not None and self._starting is not None:
                if isinstance(error, asyncio.CancelledError):
                    self._starting.uncancel()
                raise self._failure from None
            raise
        self._starting = None
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        return f"https://{ADDRESS}:{self._ports.api_server}"

    @property
    def authority(self) -> bytes:
        """The PEM of who signed the API server's certificate."""
        return self._certificate.authority

    @property
    def tls(self) -> ssl.SSLContext:
        """Trusts the API server."""
        return ssl.create_default_context(cadata=self.authority.decode())

    @property
    def etcd_url(self) -> str:
        return f"http://{ADDRESS}:{self._ports.etcd}"

    def token(self, user: str = ADMIN) -> str:
        return self._tokens[user]

    def part(self, name: str) -> ServiceProcess:
        """One of `PARTS`, to be stopped, started and killed."""
        return self._parts[name]

    def write_kubeconfig(self, path: Path, user: str = ADMIN, *, advertised: bool = False) -> None:
        """`advertised`: for a user on a node."""
        url = f"https://{self.options.advertised}:{self._ports.api_server}" if advertised else self.url
        write_kubeconfig(path, url=url, authority=self.authority, user=user, token=self._tokens[user])

    async def client(self, user_agent: str) -> KubeClient:
        """A client with the admin's rights and connections of its own, closed with the control plane."""
        client = await connect(str(self.files.kubeconfig), user_agent=user_agent)
        self._stack.push_async_callback(client.close)
        return client

    async def apply(self, content: dict[str, Any]) -> dict[str, Any]:
        """Server-side apply as the admin; a definition's kind is served when this returns."""
        return await self._applier.apply(content)

    async def controllers(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """What of the control plane runs in this process: nothing."""
        return []

    async def _start(self) -> None:
        self._reserve_ports()
        self._write_files()
        commands = {
            _ETCD: arguments.etcd(self._ports, self.files),
            _API_SERVER: arguments.api_server(self._ports, self.files, self.options),
            _CONTROLLER_MANAGER: arguments.controller_manager(self._ports, self.files, self.options),
            _SCHEDULER: arguments.scheduler(self._ports, self.files),
        }
        urls = {
            _ETCD: f"{self.etcd_url}/health",
            _API_SERVER: f"{self.url}/readyz",
            _CONTROLLER_MANAGER: f"https://{ADDRESS}:{self._ports.controller_manager}/healthz",
            _SCHEDULER: f"https://{ADDRESS}:{self._ports.scheduler}/readyz",
        }
        for name in PARTS:
            part = self._parts[name] = self._make_part(name, commands[name], urls[name])
            self._stack.push_async_callback(part.stop, grace_seconds=2.0)
        # etcd needs a fifth of a second, the API server waits for it; the others can't start without the API server.
        for names in ((_ETCD, _API_SERVER), (_CONTROLLER_MANAGER, _SCHEDULER)):
            for name in names:
                await self._parts[name].start()
            for name in names:
                await self._parts[name].ready(self.options.ready_timeout_seconds)
        verbs = HttpVerbs(self.url, token=self.token(), tls=self.tls)
        self.verbs = await self._stack.enter_async_context(verbs)
        self._applier = Applier(self.verbs)
        await self._applier.wait_for_default_namespace()

    def _make_part(self, name: str, command: tuple[str, ...], ready_url: str) -> ServiceProcess:
        return ServiceProcess(
            name,
            (str(self._binaries / name), *command, *self.options.flags.get(name, ())),
            log_path=self._log_path(name),
            ready_url=ready_url,
            environment={"PATH": os.environ.get("PATH", ""), "HOME": str(self.files.directory)},
            tls=self.tls,
            died=self._part_died,
        )

    def _part_died(self, failure: ServiceFailed) -> None:
        if self._failure is not None:
            return
        self._failure = failure
        if self._starting is not None:
            # Somebody waits for it to become ready, which it never will.
            self._starting.cancel()
        elif self._died is not None:
            self._died(failure)

    def _reserve_ports(self) -> None:
        sockets = [reserve_port(wanted) for wanted in (self.options.port, 0, 0, 0, 0)]
        for reserved in sockets:
            self._stack.callback(reserved.close)
        api_server, etcd, etcd_peer, controller_manager, scheduler = (reserved.getsockname()[1] for reserved in sockets)
        self._ports = Ports(
            etcd=etcd,
            etcd_peer=etcd_peer,
            api_server=api_server,
            controller_manager=controller_manager,
            scheduler=scheduler,
        )

    def _write_files(self) -> None:
        files = self.files
        files.directory.mkdir(parents=True, exist_ok=True)
        files.directory.chmod(0o700)
        now = datetime.datetime.now(datetime.UTC)
        service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", SERVICE_ADDRESS)
        others = (self.options.advertised, *self.options.node_addresses) if self.options.advertised else ()
        names = (ADDRESS, "localhost", *service, *others)
        self._certificate = make_certificate(files.certificate.parent, names, now=now, of_client=True)
        files.authority.write_bytes(self.authority)
        files.account_key.touch(mode=0o600)
        files.account_key.write_bytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
            )
        )
        files.tokens.touch(mode=0o600)
        files.tokens.write_text(
            "".join(f'{self._tokens[user]},{name},{user},"{_group(name)}"\n' for user, name in self._users.items())
        )
        files.audit_policy.write_text(AUDIT_POLICY)
        self.write_kubeconfig(files.kubeconfig)


def _group(name: str) -> str:
    """By which Kubernetes' own rules grant a user what its part needs."""
    if name.startswith("system:node:"):
        return "system:nodes"
    return "" if name == "system:kube-proxy" else "system:masters"
