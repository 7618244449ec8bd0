"""An informer of a kind that the API server may not have: KServe's services, on a cluster without KServe."""

from __future__ import annotations

import logging
from typing import Generic, TypeVar

from cachecore.controller.informer import Informer
from cachecore.errors import ApiError, NotFound
from cachecore.ports.cluster import ClusterClient
from cachecore.ports.runtime import Runtime, Signal
from cachecore.resources.meta import Resource

R = TypeVar("R", bound=Resource)

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 2.0


class OptionalKind(Generic[R]):
    """Runs the informer as soon as the kind is there."""

    def __init__(
        self, runtime: Runtime, client: ClusterClient, informer: Informer[R], *, recheck_seconds: float
    ) -> None:
        self._runtime = runtime
        self._client = client
        self._informer = informer
        self._recheck_seconds = recheck_seconds
        self._absent: Signal = runtime.signal()
        self._asked: Signal = runtime.signal()

    async def wait_known(self) -> None:
        """Wait until its objects are known, or that there are none: nothing may be taken for gone before that."""
        await self._asked.wait()
        if not self._absent.is_set():
            await self._informer.wait_synced()

    async def run(self) -> None:
        plural = self._informer.kind.resource_type.plural
        while not await self._is_there():
            await self._runtime.sleep(self._recheck_seconds if self._absent.is_set() else _RETRY_SECONDS)
        logger.debug("the API server has %s", plural)
        await self._informer.run()

    async def _is_there(self) -> bool:
        plural = self._informer.kind.resource_type.plural
        try:
            await self._client.list(self._informer.kind, limit=1)
        except NotFound:
            if not self._absent.is_set():
                logger.info("the API server has no %s: going on without", plural)
            self._absent.set()
            self._asked.set()
            return False
        except ApiError as error:
            logger.warning("cannot tell whether there are %s: %s", plural, error)
            return False
        self._absent.clear()
        self._asked.set()
        return True
