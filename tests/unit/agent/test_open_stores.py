"""Stores are closed when nobody uses them any more, and not before."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cacheagent.adapters.open_stores import IDLE, OpenStores, UsedStore
from cacheagent.adapters.signed import SignedRequest, SigningStore
from cachecore.errors import AccessDenied
from cachecore.ports import Credentials, ObjectInfo
from cachecore.testing import FakeObjectStore


class Closable(FakeObjectStore):
    def __init__(self) -> None:
        super().__init__({"s3://m/a": b"a"})
        self.closed = False

    async def close(self) -> None:
        self.closed = True


class Signing(Closable):
    async def sign(self, source: ObjectInfo, *, fresh: bool = False) -> SignedRequest | None:
        return SignedRequest(url=source.location)


def key(number: int) -> tuple[str, Credentials]:
    return "s3", Credentials((("AWS_ACCESS_KEY_ID", str(number)),))


def run(scenario: Callable[[OpenStores], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        stores = OpenStores()
        try:
            await scenario(stores)
        finally:
            await stores.close()

    asyncio.run(main())


async def add_many(stores: OpenStores, count: int) -> list[Closable]:
    made = [Closable() for _ in range(count)]
    for number, store in enumerate(made):
        stores.add(key(number), store)
    gc.collect()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return made


def test_only_the_last_few_stay_open_unused() -> None:
    async def scenario(stores: OpenStores) -> None:
        made = await add_many(stores, IDLE + 3)
        assert [store.closed for store in made] == [True] * 3 + [False] * IDLE

    run(scenario)


def test_what_is_used_stays_open_and_is_found_again() -> None:
    async def scenario(stores: OpenStores) -> None:
        used = stores.add(key(-1), store := Closable())
        await add_many(stores, IDLE + 3)
        assert not store.closed
        assert stores.find(key(-1)) is used

    run(scenario)


def test_all_are_closed_at_the_end() -> None:
    made: list[Closable] = []

    async def scenario(stores: OpenStores) -> None:
        made.extend(await add_many(stores, 2))

    run(scenario)
    assert all(store.closed for store in made)


def test_a_store_whose_credentials_were_refused_is_opened_anew() -> None:
    async def scenario(stores: OpenStores) -> None:
        store = Closable()
        store.faults.fail("list", AccessDenied("refused"))
        used = stores.add(key(0), store)
        with pytest.raises(AccessDenied):
            await used.list("s3://m")
        assert stores.find(key(0)) is None
        again = stores.add(key(0), Closable())
        assert stores.find(key(0)) is again

    run(scenario)


def test_a_refused_signature_counts_too() -> None:
    async def scenario(stores: OpenStores) -> None:
        used = stores.add(key(0), Signing())
        assert isinstance(used, SigningStore)
        (source,) = await used.list("s3://m")
        await used.sign(source)
        assert stores.find(key(0)) is used
        await used.sign(source, fresh=True)
        assert stores.find(key(0)) is None

    run(scenario)


def test_what_does_not_sign_does_not_seem_to() -> None:
    async def scenario(stores: OpenStores) -> None:
        used = stores.add(key(0), Closable())
        assert isinstance(used, UsedStore)
        assert not isinstance(used, SigningStore)

    run(scenario)
