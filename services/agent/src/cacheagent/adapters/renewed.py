"""Headers that authorize us for a while: asked for anew before they expire, and when a store has refused them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

Headers: TypeAlias = tuple[tuple[str, str], ...]

# The clouds' own libraries renew a token minutes before it expires; this often they are asked whether it is time.
LOOKED_SECONDS = 30.0
# All parts on their way are refused at once: the first of them renews for all.
RENEWED_SECONDS = 10.0


class RenewedHeaders:
    """`ask` says what the headers are now; with True, what they are after a renewal."""

    def __init__(self, ask: Callable[[bool], Coroutine[Any, Any, Headers]]) -> None:
        self._ask = ask
        self._lock = asyncio.Lock()
        self._headers: Headers = ()
        self._looked_seconds = self._renewed_seconds = float("-inf")

    async def get(self, *, fresh: bool = False) -> Headers:
        """`fresh`: the last ones were refused."""
        async with self._lock:
            now = time.monotonic()
            if fresh and now - self._renewed_seconds >= RENEWED_SECONDS:
                self._headers = await self._ask(True)
                self._renewed_seconds = self._looked_seconds = now
            elif now - self._looked_seconds >= LOOKED_SECONDS:
                self._headers = await self._ask(False)
                self._looked_seconds = now
            return self._headers
