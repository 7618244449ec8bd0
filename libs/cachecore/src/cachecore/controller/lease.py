"""Leader election by a Lease, by the rules of Kubernetes' own clients.

Nobody's wall clock is compared with anybody else's: a lease has expired when this process has not seen it change for
the lease's duration, by its own monotonic clock. A leader stops leading at the renew deadline, which is earlier than
the moment at which another may take over.

A process that was stopped meanwhile (SIGSTOP, a frozen machine) can't stop leading in time: when it goes on, whatever
is due runs in any order, writes too. So what leads writes through `LeaderElection.fenced`, which looks at the clock
before each write. What is left is the moment between that look and the bytes' leaving; the resourceVersions are for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from cachecore.controller.guarded_client import guarded
from cachecore.errors import (
    Conflict,
    DeadlineExceeded,
    InvalidInput,
    LeaseLost,
    LocalModelError,
    NotFound,
    TaskCancelled,
)
from cachecore.ports.cluster import ClusterClient, WatchEventType
from cachecore.ports.runtime import Runtime, Task
from cachecore.resources.core import Lease, LeaseSpec
from cachecore.resources.meta import ObjectMeta, Resource
from cachecore.tasks import within
from cachecore.timestamps import format_micro_timestamp

logger = logging.getLogger(__name__)

# The share of the retry period by which campaigns are spread, so that two candidates don't step in time.
JITTER = 0.2
# A release is a courtesy to the next leader; the process does not wait longer for it.
RELEASE_SECONDS = 2.0


class LeaderElection:
    """Campaigns for the lease, and leads while it holds it."""

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        lease_duration_seconds: float = 15.0,
        renew_deadline_seconds: float = 10.0,
        retry_period_seconds: float = 2.0,
    ) -> None:
        if not lease_duration_seconds > renew_deadline_seconds > retry_period_seconds * (1 + JITTER):
            raise InvalidInput(
                f"lease duration ({lease_duration_seconds:g} s) must be longer than the renew deadline"
                f" ({renew_deadline_seconds:g} s), and that longer than the retry period ({retry_period_seconds:g} s)"
            )
        self._runtime = runtime
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._lease_duration_seconds = lease_duration_seconds
        self._renew_deadline_seconds = renew_deadline_seconds
        self._retry_period_seconds = retry_period_seconds
        self._observed: Lease | None = None
        self._observed_at_seconds = 0.0
        self._leading = False
        self._deadline_seconds = 0.0

    @property
    def leading(self) -> bool:
        """Whether `lead` runs."""
        return self._leading

    @property
    def holder(self) -> str:
        """Who held the lease when it was last seen; "" when nobody did."""
        return (self._observed.spec.holder_identity or "") if self._observed is not None else ""

    @property
    def may_write(self) -> bool:
        """Whether this process leads, and nobody else can have taken over: true up to the renew deadline."""
        return self._leading and self._runtime.monotonic() < self._deadline_seconds

    def fenced(self, client: ClusterClient) -> ClusterClient:
        """`client`, for what `lead` writes: a write raises `LeaseLost`, and is not sent, once `may_write` is false."""

        def before_write(verb: str, kind: type[Resource], subresource: str) -> None:
            if not self.may_write:
                what = f"{verb} of {kind.resource_type.kind}{'/' if subresource else ''}{subresource}"
                raise LeaseLost(f"{what} not sent: the lease {self._namespace}/{self._name} was not renewed in time")

        return guarded(client, before_write)

    async def run(self, lead: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `lead` whenever the lease is held, and cancel it when the lease is lost; until `lead` ends by itself.

        Its failure is raised. When this coroutine is cancelled, `lead` is cancelled first, then the lease is released.
        """
        while True:
            self._renewed(await self._acquire())
            logger.info("leading", extra=self._fields())
            task = self._runtime.spawn(lead(), name=f"lead-{self._identity}")
            self._leading = True
            try:
                await self._renew_until_lost(task)
                if task.done():
                    await task.join()
                    return
                logger.warning("lost the lease", extra=self._fields())
            finally:
                await self._step_down(task)

    async def _acquire(self) -> float:
        """Campaign until the lease is held; answer when the attempt that succeeded was begun."""
        while True:
            begun_at_seconds = self._runtime.monotonic()
            if await self._attempt(self._renew_deadline_seconds):
                return begun_at_seconds
            await self._stand_by()

    async def _stand_by(self) -> None:
        """Until the next attempt: when the lease expires or is released, as far as the server tells of it."""
        begun_at_seconds = self._runtime.monotonic()
        observed = self._observed
        try:
            # One that may be taken and was not: the attempt failed, and the next is not to follow at once.
            if observed is not None and not self._may_take(observed.spec) and await self._follow(observed):
                return
        except LocalModelError as error:
            logger.debug("no watch of the lease: %s", error, extra=self._fields())
        # Asked now and then all the same; never more often.
        period = self._retry_period_seconds * (1.0 + JITTER * self._runtime.random.random())
        await self._runtime.sleep(begun_at_seconds + period - self._runtime.monotonic())

    async def _follow(self, lease: Lease) -> bool:
        """Watch the lease until it may be taken; answer whether it may.

        Each renewal is seen as it is made: who only looked now and then would count its duration from when it looked,
        and take over from a dead leader so much later.
        """
        watch = await self._client.watch(
            Lease,
            resource_version=lease.metadata.resource_version,
            namespace=self._namespace,
            field_selector=f"metadata.name={self._name}",
        )
        try:
            while not self._may_take(lease.spec):
                remaining = self._expiry_seconds(lease.spec) - self._runtime.monotonic()
                try:
                    event = await within(self._runtime, remaining, watch.receive())
                except DeadlineExceeded:
                    return True
                if event is None:
                    return False
                if event.type is WatchEventType.DELETED:
                    return True
                if event.type is not WatchEventType.BOOKMARK:
                    lease = event.resource
                    self._observe(lease)
            return True
        finally:
            await watch.close()

    def _renewed(self, begun_at_seconds: float) -> None:
        # Counted from when the good attempt was *begun*: others may count from when the server took it.
        self._deadline_seconds = begun_at_seconds + self._renew_deadline_seconds

    async def _renew_until_lost(self, task: Task[None]) -> None:
        """Renew while `task` runs. Returns when it has ended, or when no renewal succeeded until the deadline."""
        while not task.done():
            remaining = self._deadline_seconds - self._runtime.monotonic()
            if remaining <= 0:
                return
            if await self._ended_within(task, min(self._retry_period_seconds, remaining)):
                return
            begun_at_seconds = self._runtime.monotonic()
            if begun_at_seconds >= self._deadline_seconds:
                return
            if await self._attempt(self._deadline_seconds - begun_at_seconds):
                self._renewed(begun_at_seconds)
            elif self.holder not in ("", self._identity):
                # Another leads already: not a moment longer.
                self._deadline_seconds = begun_at_seconds
                return

    async def _ended_within(self, task: Task[None], seconds: float) -> bool:
        try:
            await within(self._runtime, seconds, _end_of(task))
        except DeadlineExceeded:
            return False
        return True

    async def _attempt(self, timeout_seconds: float) -> bool:
        try:
            return await within(self._runtime, timeout_seconds, self._acquire_or_renew())
        except LocalModelError as error:
            logger.warning("the lease could not be written: %s", error, extra=self._fields())
            return False

    async def _acquire_or_renew(self) -> bool:
        try:
            lease = await self._client.get(Lease, self._name, self._namespace)
        except NotFound:
            created = await self._client.create(
                Lease(metadata=ObjectMeta(name=self._name, namespace=self._namespace), spec=self._spec(None))
            )
            self._observe(created)
            return True
        self._observe(lease)
        if not self._may_take(lease.spec):
            return False
        # The resourceVersion makes it safe: of two candidates that saw the same lease, one gets a Conflict.
        self._observe(await self._client.update(msgspec.structs.replace(lease, spec=self._spec(lease.spec))))
        return True

    def _observe(self, lease: Lease) -> None:
        if self._observed is None or self._observed.spec != lease.spec:
            self._observed_at_seconds = self._runtime.monotonic()
        self._observed = lease

    def _may_take(self, spec: LeaseSpec) -> bool:
        if not spec.holder_identity or spec.holder_identity == self._identity:
            return True
        return self._runtime.monotonic() >= self._expiry_seconds(spec)

    def _expiry_seconds(self, spec: LeaseSpec) -> float:
        return self._observed_at_seconds + (spec.lease_duration_seconds or self._lease_duration_seconds)

    def _spec(self, old: LeaseSpec | None) -> LeaseSpec:
        """The lease's spec while this process holds it; `old` is what it follows."""
        now = format_micro_timestamp(self._runtime.now())
        is_renewal = old is not None and old.holder_identity == self._identity
        transitions = (old.lease_transitions or 0) if old is not None else 0
        return LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=max(1, round(self._lease_duration_seconds)),
            acquire_time=old.acquire_time if old is not None and is_renewal else now,
            renew_time=now,
            lease_transitions=transitions if is_renewal or old is None else transitions + 1,
        )

    async def _step_down(self, task: Task[None]) -> None:
        """End the leading before anybody else may begin: cancel, wait for the end, then release."""
        task.cancel()
        await _end_of(task)
        self._leading = False
        try:
            await within(self._runtime, RELEASE_SECONDS, self._release())
        except LocalModelError as error:
            # Then it expires by itself.
            logger.info("the lease was not released: %s", error, extra=self._fields())

    async def _release(self) -> None:
        while True:
            # Read anew: a renewal that was cancelled on its way may have been applied.
            lease = await self._client.get(Lease, self._name, self._namespace)
            if lease.spec.holder_identity != self._identity:
                return
            now = format_micro_timestamp(self._runtime.now())
            spec = msgspec.structs.replace(lease.spec, holder_identity="", lease_duration_seconds=1, renew_time=now)
            try:
                self._observe(await self._client.update(msgspec.structs.replace(lease, spec=spec)))
            except Conflict:
                # Or it is being applied just now.
                continue
            return

    def _fields(self) -> dict[str, str]:
        return {"lease": f"{self._namespace}/{self._name}", "identity": self._identity, "holder": self.holder}


async def _end_of(task: Task[None]) -> None:
    """Wait until a task has ended, however it did."""
    try:
        await task.join()
    except TaskCancelled:
        return
    except Exception:  # noqa: BLE001 - `run` raises it
        return
