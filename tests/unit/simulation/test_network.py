"""Flows share links fairly, and end when their bytes have arrived."""

import pytest
import simpy

from cachesim.network import Link, Network, fair_rates
from cachesim.runtime import SimpyRuntime

BACKBONE = Link("backbone", 100.0)
CARD_1 = Link("card-1", 10.0)
CARD_2 = Link("card-2", 1000.0)


@pytest.fixture
def runtime() -> SimpyRuntime:
    return SimpyRuntime(simpy.Environment(), seed=1)


def test_one_flow_gets_its_slowest_link() -> None:
    assert fair_rates([(BACKBONE, CARD_1)]) == [10.0]


def test_flows_on_one_link_share_it() -> None:
    assert fair_rates([(BACKBONE,), (BACKBONE,)]) == [50.0, 50.0]


def test_what_a_slow_flow_leaves_goes_to_the_others() -> None:
    assert fair_rates([(BACKBONE, CARD_1), (BACKBONE, CARD_2)]) == [10.0, 90.0]


def test_no_flow_no_rate() -> None:
    assert fair_rates([]) == []


def _seconds_of(runtime: SimpyRuntime, *transfers: tuple[float, int, tuple[Link, ...]]) -> list[float]:
    """When each transfer (start, bytes, links) ends."""
    network = Network(runtime)
    ends: list[float] = [0.0] * len(transfers)

    async def carry(index: int, start: float, size_bytes: int, links: tuple[Link, ...]) -> None:
        await runtime.sleep(start)
        await network.transfer(runtime, size_bytes, *links)
        ends[index] = runtime.monotonic()

    async def main() -> None:
        engine = runtime.spawn(network.run(), name="network")
        for task in [runtime.spawn(carry(i, *transfer), name=str(i)) for i, transfer in enumerate(transfers)]:
            await task.join()
        engine.cancel()

    runtime.run(main())
    return ends


def test_a_transfer_takes_size_over_rate(runtime: SimpyRuntime) -> None:
    assert _seconds_of(runtime, (0.0, 1000, (BACKBONE,))) == pytest.approx([10.0])


def test_a_later_flow_slows_the_first_and_both_add_up(runtime: SimpyRuntime) -> None:
    # 500 bytes alone in 5 s; then both at 50 B/s: the first's rest of 500 in 10 s, the second's in 10 s.
    ends = _seconds_of(runtime, (0.0, 1000, (BACKBONE,)), (5.0, 500, (BACKBONE,)))
    assert ends == pytest.approx([15.0, 15.0])


def test_an_empty_transfer_takes_no_time(runtime: SimpyRuntime) -> None:
    assert _seconds_of(runtime, (0.0, 0, (BACKBONE,))) == [0.0]


def test_the_flow_of_a_crashed_host_frees_its_share(runtime: SimpyRuntime) -> None:
    network = Network(runtime)
    victim = SimpyRuntime(runtime.environment, seed=1, host="victim")
    victim.spawn(network.transfer(victim, 10_000, BACKBONE), name="victim's")

    async def main() -> float:
        engine = runtime.spawn(network.run(), name="network")
        other = runtime.spawn(network.transfer(runtime, 1000, BACKBONE), name="other's")
        await runtime.sleep(10)
        victim.crash()
        await other.join()
        engine.cancel()
        return runtime.monotonic()

    # 500 bytes at half the rate in 10 s, the other 500 at the full rate in 5 s.
    assert runtime.run(main()) == pytest.approx(15.0)
