from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.controller.lease import LeaderElection
from cachecore.errors import ApiUnavailable, InvalidInput, LeaseLost
from cachecore.ports.runtime import Task
from cachecore.resources.core import Lease, LeaseSpec, Node
from cachecore.resources.meta import ObjectMeta
from cachecore.testing import FakeCluster, VirtualRuntime


class Scene:
    """Candidates for one lease, and when each of them led: (start, end, identity)."""

    def __init__(self) -> None:
        self.runtime = VirtualRuntime(seed=3)
        self.terms: list[tuple[float, float, str]] = []
        self.leading: list[str] = []
        self.cleaning_seconds = 0.0
        self.cluster = FakeCluster(self.runtime)

    def start(self, identity: str) -> Task[None]:
        election = LeaderElection(self.runtime, self.cluster, namespace="system", name="lease", identity=identity)
        return self.runtime.spawn(election.run(self.lead(identity)), name=identity)

    def lead(self, identity: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def lead() -> None:
            start = self.runtime.monotonic()
            assert self.leading == [], f"{identity} leads beside {self.leading}"
            self.leading.append(identity)
            try:
                await self.runtime.signal().wait()
            finally:
                await self.runtime.sleep(self.cleaning_seconds)
                self.leading.remove(identity)
                self.terms.append((start, self.runtime.monotonic(), identity))

        return lead

    @property
    def lease(self) -> LeaseSpec:
        lease = self.cluster.peek(Lease, "lease", "system")
        assert lease is not None
        return lease.spec


def test_a_candidate_alone_leads_at_once() -> None:
    scene = Scene()

    async def main() -> None:
        scene.start("a")
        await scene.runtime.settle()
        assert scene.leading == ["a"]
        assert scene.lease.holder_identity == "a"

    scene.runtime.run(main())


def test_a_leader_renews_and_goes_on() -> None:
    scene = Scene()

    async def main() -> None:
        scene.start("a")
        await scene.runtime.sleep(100)
        assert scene.leading == ["a"]
        assert scene.terms == []
        assert scene.lease.lease_transitions == 0
        assert scene.lease.renew_time != scene.lease.acquire_time

    scene.runtime.run(main())


def test_of_two_candidates_one_leads_and_the_other_waits() -> None:
    scene = Scene()

    async def main() -> None:
        scene.start("a")
        scene.start("b")
        await scene.runtime.sleep(100)
        assert scene.leading == ["a"]

    scene.runtime.run(main())


def test_a_clean_end_hands_over_at_once() -> None:
    scene = Scene()

    async def main() -> None:
        leader = scene.start("a")
        scene.start("b")
        await scene.runtime.sleep(30)
        leader.cancel()
        await scene.runtime.sleep(0.1)
        assert scene.leading == ["b"]
        assert scene.lease.lease_transitions == 1

    scene.runtime.run(main())


def test_the_lease_is_released_only_when_the_leading_has_ended() -> None:
    scene = Scene()
    scene.cleaning_seconds = 8.0

    async def main() -> None:
        leader = scene.start("a")
        scene.start("b")
        await scene.runtime.sleep(30)
        leader.cancel()
        await scene.runtime.sleep(7)
        assert scene.leading == ["a"]
        await scene.runtime.sleep(4)
        assert scene.leading == ["b"]

    scene.runtime.run(main())


def test_a_dead_leader_is_followed_when_its_lease_was_still_for_its_duration() -> None:
    scene = Scene()
    scene.cluster.add(
        Lease(
            metadata=ObjectMeta(name="lease", namespace="system"),
            # A renew time in the far future: a leader whose clock was wrong must not block the others.
            spec=LeaseSpec(holder_identity="dead", lease_duration_seconds=15, renew_time="2100-01-01T00:00:00.000000Z"),
        )
    )

    async def main() -> None:
        scene.start("b")
        await scene.runtime.sleep(14.9)
        assert scene.leading == []
        # Not a retry period later: the lease's end is known.
        await scene.runtime.sleep(0.2)
        assert scene.leading == ["b"]

    scene.runtime.run(main())


async def renew(scene: Scene, times: int) -> None:
    """As a leader of another process does, until it dies."""
    for number in range(times):
        await scene.runtime.sleep(2.0)
        lease = await scene.cluster.get(Lease, "lease", "system")
        spec = LeaseSpec(holder_identity="a", lease_duration_seconds=15, renew_time=f"2026-01-01T00:00:{number:02}.0Z")
        await scene.cluster.update(Lease(metadata=lease.metadata, spec=spec))


@pytest.mark.parametrize("begun_later_seconds", [0.0, 0.7, 1.9])
def test_a_dead_leader_is_followed_a_lease_after_its_last_renewal_and_no_later(begun_later_seconds: float) -> None:
    scene = Scene()
    scene.cluster.add(Lease(metadata=ObjectMeta(name="lease", namespace="system"), spec=LeaseSpec(holder_identity="a")))

    async def main() -> None:
        leader = scene.runtime.spawn(renew(scene, 10), name="leader")
        await scene.runtime.sleep(begun_later_seconds)
        scene.start("b")
        await leader.join()
        await scene.runtime.sleep(14.9)
        assert scene.leading == []
        await scene.runtime.sleep(0.2)
        assert scene.leading == ["b"]

    scene.runtime.run(main())


def test_a_candidate_without_a_watch_asks_once_a_retry_period() -> None:
    scene = Scene()
    scene.cluster.add(Lease(metadata=ObjectMeta(name="lease", namespace="system"), spec=LeaseSpec(holder_identity="a")))
    scene.cluster.faults.fail("watch", ApiUnavailable("no watches today"), times=None)

    async def main() -> None:
        leader = scene.runtime.spawn(renew(scene, 10), name="leader")
        scene.start("b")
        await leader.join()
        await scene.runtime.sleep(14.0)
        assert scene.leading == []
        await scene.runtime.sleep(1.0 + 2.0 * 1.2 * 2)
        assert scene.leading == ["b"]

    scene.runtime.run(main())


def test_a_leader_that_cannot_renew_stops_before_another_can_start() -> None:
    scene = Scene()

    async def main() -> None:
        scene.start("a")
        await scene.runtime.sleep(10)
        start = scene.runtime.monotonic()
        scene.cluster.faults.fail("update", ApiUnavailable("away"), times=None)
        await scene.runtime.sleep(30)
        assert scene.terms[0][1] - start <= 10.0
        assert scene.leading == []

    scene.runtime.run(main())


def test_a_leader_whose_requests_hang_stops_at_the_deadline() -> None:
    scene = Scene()

    async def main() -> None:
        scene.start("a")
        await scene.runtime.sleep(10)
        scene.cluster.latency_seconds = 3600.0
        await scene.runtime.sleep(30)
        assert scene.terms[0][1] <= 20.0

    scene.runtime.run(main())


def test_it_campaigns_again_after_a_loss() -> None:
    scene = Scene()

    async def main() -> None:
        scene.start("a")
        await scene.runtime.sleep(10)
        scene.cluster.faults.fail("*", ApiUnavailable("away"), times=None)
        await scene.runtime.sleep(30)
        scene.cluster.faults.heal()
        await scene.runtime.sleep(10)
        assert scene.leading == ["a"]

    scene.runtime.run(main())
    assert [identity for _, _, identity in scene.terms] == ["a", "a"]


def test_a_renewal_whose_answer_was_lost_does_not_end_the_leading() -> None:
    scene = Scene()

    async def main() -> None:
        scene.start("a")
        await scene.runtime.sleep(5)
        scene.cluster.faults.fail("update", ApiUnavailable("answer lost"), after=True, times=3)
        await scene.runtime.sleep(60)

    scene.runtime.run(main())
    assert len(scene.terms) == 1


def test_a_lease_taken_by_another_ends_the_leading_at_the_next_renewal() -> None:
    scene = Scene()

    async def main() -> None:
        scene.start("a")
        await scene.runtime.sleep(5)
        scene.cluster.add(
            Lease(
                metadata=ObjectMeta(name="lease", namespace="system"),
                spec=LeaseSpec(holder_identity="b", lease_duration_seconds=15),
            )
        )
        await scene.runtime.sleep(3)
        assert scene.leading == []
        assert scene.lease.holder_identity == "b"

    scene.runtime.run(main())


def test_many_candidates_with_an_unreliable_server_never_lead_at_once() -> None:
    scene = Scene()

    async def main() -> None:
        candidates = [scene.start(name) for name in ("a", "b", "c")]
        for _ in range(200):
            after = scene.runtime.random.random() < 0.5
            scene.cluster.faults.fail("update", ApiUnavailable("away"), times=3, after=after)
            scene.cluster.latency_seconds = scene.runtime.random.choice((0.0, 0.1, 4.0, 12.0))
            await scene.runtime.sleep(20 * scene.runtime.random.random())
            scene.cluster.faults.heal()
        assert not any(candidate.done() for candidate in candidates)

    scene.runtime.run(main())
    assert len(scene.terms) > 3


def test_a_release_is_not_hindered_by_a_renewal_that_was_on_its_way() -> None:
    scene = Scene()

    async def main() -> None:
        leader = scene.start("a")
        await scene.runtime.sleep(9.9)
        scene.cluster.faults.fail("update", ApiUnavailable("answer lost"), after=True)
        await scene.runtime.sleep(0.2)
        leader.cancel()
        await scene.runtime.sleep(1)
        assert scene.lease.holder_identity in ("", None)

    scene.runtime.run(main())


def test_leading_that_ends_by_itself_ends_the_election_and_frees_the_lease() -> None:
    scene = Scene()
    election = LeaderElection(scene.runtime, scene.cluster, namespace="system", name="lease", identity="a")

    async def lead() -> None:
        await scene.runtime.sleep(7)

    scene.runtime.run(election.run(lead))
    assert scene.lease.holder_identity in ("", None)
    assert scene.runtime.monotonic() < 8


def test_a_failure_of_the_leading_is_raised() -> None:
    scene = Scene()
    election = LeaderElection(scene.runtime, scene.cluster, namespace="system", name="lease", identity="a")

    async def lead() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        scene.runtime.run(election.run(lead))
    assert not election.leading


def test_what_leads_can_write_while_the_lease_is_renewed_and_not_after_the_leading() -> None:
    scene = Scene()
    election = LeaderElection(scene.runtime, scene.cluster, namespace="system", name="lease", identity="a")
    fenced = election.fenced(scene.cluster)

    async def lead() -> None:
        for number in range(5):
            await scene.runtime.sleep(7)
            await fenced.create(Node(metadata=ObjectMeta(name=f"n{number}")))

    scene.runtime.run(election.run(lead))
    with pytest.raises(LeaseLost, match="update of Node/status not sent: the lease system/lease was not renewed"):
        scene.runtime.run(fenced.update_status(Node(metadata=ObjectMeta(name="n0"))))
    assert scene.cluster.faults.count("create", "*n?") == 5


def test_a_leader_that_was_frozen_past_its_deadline_writes_nothing_more() -> None:
    # In real time, because in virtual time nothing is ever late: the loop does nothing for a while, as in a SIGSTOP.
    runtime = AsyncioRuntime(seed=1)
    cluster = FakeCluster(runtime)
    times = {"lease_duration_seconds": 0.4, "renew_deadline_seconds": 0.2, "retry_period_seconds": 0.05}
    election = LeaderElection(runtime, cluster, namespace="system", name="lease", identity="a", **times)
    fenced = election.fenced(cluster)
    written: list[str] = []
    writing = runtime.signal()

    async def lead() -> None:
        for number in range(10_000):
            name = f"n{number}"
            await fenced.create(Node(metadata=ObjectMeta(name=name)))
            written.append(name)
            writing.set()
            await asyncio.sleep(0)

    async def main() -> list[str]:
        task = runtime.spawn(election.run(lead), name="election")
        await writing.wait()
        time.sleep(0.3)  # noqa: ASYNC251 - freezing the loop is the point
        before = list(written)
        with pytest.raises(LeaseLost):
            await task.join()
        return before

    assert asyncio.run(main()) == written


def test_a_leader_that_sees_another_writes_nothing_more() -> None:
    scene = Scene()
    election = LeaderElection(scene.runtime, scene.cluster, namespace="system", name="lease", identity="a")

    async def main() -> None:
        scene.runtime.spawn(election.run(scene.lead("a")), name="a")
        scene.cleaning_seconds = 5.0
        await scene.runtime.sleep(5)
        assert election.may_write
        scene.cluster.add(
            Lease(
                metadata=ObjectMeta(name="lease", namespace="system"),
                spec=LeaseSpec(holder_identity="b", lease_duration_seconds=15),
            )
        )
        await scene.runtime.sleep(3)
        assert scene.leading == ["a"]
        assert not election.may_write

    scene.runtime.run(main())


def test_times_that_cannot_be_safe_are_refused() -> None:
    scene = Scene()
    with pytest.raises(InvalidInput, match="longer than the renew deadline"):
        LeaderElection(scene.runtime, scene.cluster, namespace="n", name="l", identity="a", renew_deadline_seconds=15.0)
