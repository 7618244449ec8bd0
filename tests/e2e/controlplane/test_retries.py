"""The client through a proxy that fails: what it retries, what it tells, and that nothing happens twice."""

from __future__ import annotations

import time

import pytest

from cachecore.adapters.kube import KubeClient
from cachecore.errors import AlreadyExists, ApiUnavailable, Conflict, TooManyRequests
from cachecore.resources.core import Lease, LeaseSpec
from cachecore.resources.meta import ObjectMeta
from cachesim.controlplane.testing_proxy import FaultKind, FaultProxy, ProxyFault, ProxyRequest

BUSY = ProxyFault(kind=FaultKind.REFUSE, status=429, retry_after_seconds=1)
RESET = ProxyFault(kind=FaultKind.RESET)
LOST = ProxyFault(kind=FaultKind.LOSE_ANSWER)


def refuse(status: int) -> ProxyFault:
    return ProxyFault(kind=FaultKind.REFUSE, status=status)


class First:
    """The first requests of a method fail, each with the next fault."""

    def __init__(self, method: str, *faults: ProxyFault) -> None:
        self._method = method
        self._faults = list(faults)

    def __call__(self, request: ProxyRequest) -> ProxyFault | None:
        return self._faults.pop(0) if request.method == self._method and self._faults else None


def lease(namespace: str, name: str = "a", holder: str = "") -> Lease:
    return Lease(metadata=ObjectMeta(name=name, namespace=namespace), spec=LeaseSpec(holder_identity=holder or None))


@pytest.mark.parametrize("fault", [refuse(503), refuse(500), RESET, LOST], ids=["503", "500", "reset", "lost"])
async def test_a_read_is_retried(proxied: KubeClient, proxy: FaultProxy, namespace: str, fault: ProxyFault) -> None:
    made = await proxied.create(lease(namespace))
    proxy.choose = First("GET", fault, fault)
    assert await proxied.get(Lease, "a", namespace) == made


async def test_a_read_waits_as_long_as_it_is_told(proxied: KubeClient, proxy: FaultProxy, namespace: str) -> None:
    await proxied.create(lease(namespace))
    proxy.choose = First("GET", BUSY)
    start = time.monotonic()
    await proxied.get(Lease, "a", namespace)
    assert 1.0 <= time.monotonic() - start < 3.0


async def test_a_read_is_given_up_after_four_attempts(proxied: KubeClient, proxy: FaultProxy, namespace: str) -> None:
    proxy.choose = lambda request: refuse(503)
    with pytest.raises(ApiUnavailable):
        await proxied.get(Lease, "a", namespace)
    assert len(proxy.seen) == 4


@pytest.mark.parametrize(
    ("fault", "error"),
    [(BUSY, TooManyRequests), (refuse(503), ApiUnavailable), (refuse(500), ApiUnavailable), (RESET, ApiUnavailable)],
    ids=["429", "503", "500", "reset"],
)
async def test_a_write_is_tried_once_and_its_failure_told(
    proxied: KubeClient, proxy: FaultProxy, namespace: str, fault: ProxyFault, error: type[Exception]
) -> None:
    proxy.choose = First("POST", fault)
    with pytest.raises(error):
        await proxied.create(lease(namespace))
    assert (await proxied.list(Lease, namespace=namespace)).items == ()
    assert [seen.request.method for seen in proxy.seen] == ["POST", "GET"]


async def test_a_creation_whose_answer_was_lost_ends_in_one_object(
    proxied: KubeClient, proxy: FaultProxy, namespace: str
) -> None:
    proxy.choose = First("POST", LOST)
    with pytest.raises(ApiUnavailable):
        await proxied.create(lease(namespace))
    with pytest.raises(AlreadyExists):
        await proxied.create(lease(namespace))
    assert len((await proxied.list(Lease, namespace=namespace)).items) == 1


async def test_an_update_whose_answer_was_lost_is_a_conflict_until_it_is_read_again(
    proxied: KubeClient, proxy: FaultProxy, namespace: str
) -> None:
    made = await proxied.create(lease(namespace))
    proxy.choose = First("PUT", LOST)
    changed = Lease(metadata=made.metadata, spec=LeaseSpec(holder_identity="me"))
    with pytest.raises(ApiUnavailable):
        await proxied.update(changed)
    with pytest.raises(Conflict):
        await proxied.update(Lease(metadata=made.metadata, spec=LeaseSpec(holder_identity="you")))
    assert (await proxied.get(Lease, "a", namespace)).spec.holder_identity == "me"


async def test_a_deletion_whose_answer_was_lost_does_not_take_the_next_object_of_that_name(
    proxied: KubeClient, proxy: FaultProxy, namespace: str
) -> None:
    made = await proxied.create(lease(namespace))
    proxy.choose = First("DELETE", LOST)
    with pytest.raises(ApiUnavailable):
        await proxied.delete(Lease, "a", namespace=namespace, uid=made.uid)
    again = await proxied.create(lease(namespace))
    with pytest.raises(Conflict):
        await proxied.delete(Lease, "a", namespace=namespace, uid=made.uid)
    assert await proxied.get(Lease, "a", namespace) == again
