"""The life of one pod on its node: volumes, init containers in order, containers, and its end."""

from __future__ import annotations

import logging

from cachecore.errors import ApiError, Conflict, NotFound
from cachecore.events import EventRecorder
from cachecore.ports import ClusterClient, Patch, Runtime, Task
from cachecore.resources.core import Container, Pod
from cachecore.resources.meta import JsonObject
from cachecore.tasks import TaskGroup
from cachesim.containers.port import ContainerError, ContainerRuntime, ContainerStart, RunningContainer
from cachesim.node.environment import ContainerConfigError, expand, resolve_environment
from cachesim.node.options import NodeOptions
from cachesim.node.statuses import ContainerRecord, PodRecord, pod_status
from cachesim.node.volumes import MountedVolume, MountFailed, VolumeMounter

logger = logging.getLogger(__name__)

_API_RETRY_SECONDS = 1.0
_STABLE_SECONDS = 600.0
_DEFAULT_GRACE_SECONDS = 30.0


class PodWorker:
    """Runs one pod, one object of one uid. Nothing is cancelled in its middle: each wait also ends with the pod."""

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        containers: ContainerRuntime,
        events: EventRecorder,
        node_name: str,
        pod: Pod,
        options: NodeOptions,
    ) -> None:
        self._runtime = runtime
        self._client = client
        self._containers = containers
        self._events = events
        self._options = options
        self._pod = pod
        self._record = PodRecord.of(pod, runtime.now())
        self._mounter = VolumeMounter(client, containers, node_name)
        self._changed = runtime.signal()
        self._ending = runtime.signal()
        self._crashed = False
        self._grace_seconds = _DEFAULT_GRACE_SECONDS
        self._written: JsonObject = {}
        self.update(pod)

    def update(self, pod: Pod) -> None:
        """A newer version of the pod was seen."""
        self._pod = pod
        if pod.ready != _says_ready(self._written) and self._written:
            # Somebody else has spoken for this node while it was silent: it says again what is true.
            self._written = {}
            self._changed.set()
        if pod.being_deleted and not self._ending.is_set():
            grace = pod.metadata.deletion_grace_period_seconds
            self._grace_seconds = _DEFAULT_GRACE_SECONDS if grace is None else float(grace)
            self._ending.set()

    def vanish(self) -> None:
        """The pod's object is gone: nobody waits for its end any more."""
        if not self._ending.is_set():
            self._grace_seconds = self._options.orphan_grace_seconds
            self._ending.set()

    def crash(self) -> None:
        """The node has lost its power: its tasks are being cancelled, and may start no container on the way."""
        self._crashed = True

    @property
    def _over(self) -> bool:
        return self._ending.is_set() or self._crashed

    async def run(self) -> None:
        """Until the pod's object is gone."""
        statuses = self._runtime.spawn(self._write_statuses(), name=f"status-{self._pod.name}")
        life = self._runtime.spawn(self._live(), name=f"life-{self._pod.name}")
        try:
            await self._ending.wait()
            await life.join()
            statuses.cancel()
            await self._containers.remove_tree(self._options.pod_directory(self._pod.uid))
            await self._delete_object()
        finally:
            life.cancel()
            statuses.cancel()

    async def _live(self) -> None:
        if self._pod.terminal or self._over:
            return
        self._changed.set()
        volumes = await self._mount_volumes()
        if volumes is None:
            return
        self._record.mounted = True
        for record in self._record.init_containers:
            if not await self._run_to_its_end(record, volumes, init=True):
                self._finish(failed=True)
                return
        self._record.initialized = True
        for record in self._record.containers:
            record.wait("ContainerCreating")
        self._finish(failed=not await self._run_all(volumes))

    async def _run_all(self, volumes: dict[str, MountedVolume]) -> bool:
        """The containers, side by side; answer whether all of them ended well."""
        group = TaskGroup(self._runtime)
        runs = [
            group.spawn(
                self._run_to_its_end(record, volumes, init=False), name=f"{self._pod.name}/{record.container.name}"
            )
            for record in self._record.containers
        ]
        await group.join()
        return all([await run.join() for run in runs])

    def _finish(self, *, failed: bool) -> None:
        if not self._over:
            self._record.ended = True
            self._record.failed = failed
            self._changed.set()

    async def _mount_volumes(self) -> dict[str, MountedVolume] | None:
        """Every volume, however long it takes; None when the pod ended first."""
        delay_seconds = self._options.first_mount_backoff_seconds
        while not self._over:
            try:
                return await self._mounter.mount(self._pod, self._options.pod_directory(self._pod.uid))
            except (MountFailed, ApiError) as error:
                self._events.record(self._pod, type="Warning", reason="FailedMount", message=str(error))
            await self._ending.wait(delay_seconds)
            delay_seconds = min(2 * delay_seconds, self._options.longest_mount_backoff_seconds)
        return None

    async def _run_to_its_end(self, record: ContainerRecord, volumes: dict[str, MountedVolume], *, init: bool) -> bool:
        """Run a container, again as the restart policy says; answer whether it ended well."""
        policy = self._pod.spec.restart_policy or "Always"
        delay_seconds = 0.0
        while not self._over:
            begun = self._runtime.monotonic()
            code = await self._run_once(record, volumes)
            if code is None:
                await self._ending.wait(self._options.config_error_retry_seconds)
                continue
            if code == 0 and (init or policy != "Always"):
                return True
            if policy == "Never" or self._over:
                return False
            if self._runtime.monotonic() - begun > _STABLE_SECONDS:
                delay_seconds = 0.0
            # As the kubelet: the first restart is at once, the second after the first backoff.
            if delay_seconds:
                self._crash_loop(record, delay_seconds)
                await self._ending.wait(delay_seconds)
            record.restart_count += 1
            doubled = max(2 * delay_seconds, self._options.first_crash_backoff_seconds)
            delay_seconds = min(doubled, self._options.longest_crash_backoff_seconds)
        return False

    def _crash_loop(self, record: ContainerRecord, delay_seconds: float) -> None:
        message = (
            f"back-off {delay_seconds:g}s restarting failed container={record.container.name} pod={self._pod.name}"
        )
        record.wait("CrashLoopBackOff", message)
        self._changed.set()
        self._events.record(self._pod, type="Warning", reason="BackOff", message=message)

    async def _run_once(self, record: ContainerRecord, volumes: dict[str, MountedVolume]) -> int | None:
        """One start: the exit code, or None when it could not be started."""
        try:
            start = await self._resolve(record, volumes)
            if self._over:
                return None
            running = await self._containers.start(start)
        except (ContainerConfigError, ContainerError, ApiError) as error:
            reason = ContainerConfigError.reason if isinstance(error, ApiError) else error.reason
            record.wait(reason, str(error))
            self._changed.set()
            self._events.record(self._pod, type="Warning", reason="Failed", message=f"{reason}: {error}")
            return None
        record.run(self._runtime.now())
        self._changed.set()
        stopper = self._stop_when_ending(running)
        try:
            code = await running.wait()
        finally:
            stopper.cancel()
        message = await running.log() if code and _wants_log(record.container) else ""
        record.end(code, self._runtime.now(), message)
        self._changed.set()
        return code

    def _stop_when_ending(self, running: RunningContainer) -> Task[None]:
        async def stop() -> None:
            await self._ending.wait()
            await running.stop(self._grace_seconds)

        return self._runtime.spawn(stop(), name=f"stop-{self._pod.name}")

    async def _resolve(self, record: ContainerRecord, volumes: dict[str, MountedVolume]) -> ContainerStart:
        container, pod = record.container, self._pod
        variables = await resolve_environment(self._client, pod, container, self._options.address)
        known = dict(variables)
        return ContainerStart(
            pod_uid=pod.uid,
            pod_namespace=pod.namespace,
            pod_name=pod.name,
            name=container.name,
            image=container.image,
            command=tuple(expand(word, known) for word in container.command),
            args=tuple(expand(word, known) for word in container.args),
            env=variables,
            working_dir=container.working_dir,
            mounts=await self._mounter.mounts_of(container, volumes),
            log_path=self._options.log_path(pod.namespace, pod.name, pod.uid, container.name, record.restart_count),
        )

    async def _write_statuses(self) -> None:
        """Write the status whenever it has changed: what happens while one write is under way goes into the next."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            now = self._runtime.now()
            status = pod_status(self._pod, self._record, self._options.address, now, self._written)
            if status == self._written:
                continue
            try:
                await self._client.patch(
                    Pod,
                    self._pod.name,
                    Patch(body={"metadata": {"uid": self._pod.uid}, "status": status}),
                    namespace=self._pod.namespace,
                    subresource="status",
                )
                self._written = status
            except (NotFound, Conflict):
                # The object is gone, or another one of its name has come: this one has no status any more.
                return
            except ApiError as error:
                logger.warning("status of pod %s/%s: %s", self._pod.namespace, self._pod.name, error)
                await self._runtime.sleep(_API_RETRY_SECONDS)
                self._changed.set()

    async def _delete_object(self) -> None:
        while True:
            try:
                await self._client.delete(
                    Pod, self._pod.name, namespace=self._pod.namespace, uid=self._pod.uid, grace_period_seconds=0
                )
            except (NotFound, Conflict):
                return
            except ApiError as error:
                logger.warning("delete of pod %s/%s: %s", self._pod.namespace, self._pod.name, error)
                await self._runtime.sleep(_API_RETRY_SECONDS)
            else:
                return


def _says_ready(status: JsonObject) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ())


def _wants_log(container: Container) -> bool:
    """KServe's storage initializer asks that the end of its log be the message of its failure."""
    return container.termination_message_policy == "FallbackToLogsOnError"
