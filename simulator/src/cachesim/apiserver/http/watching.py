"""A watch as a response that goes on: one JSON document a line."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cachecore.errors import ApiError
from cachesim.apiserver.errors import status_body
from cachesim.apiserver.http.content import JSON, encode
from cachesim.apiserver.http.negotiation import Presenter
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.watch import ServerWatch


class WatchResponse(Response):
    """Streams the events until the server, the time or the client ends the watch."""

    def __init__(self, watch: ServerWatch, presenter: Presenter) -> None:
        super().__init__(media_type=JSON)
        self._watch = watch
        self._presenter = presenter
        self._columns_sent = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", JSON.encode()), (b"cache-control", b"no-cache, private")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        # kubectl and client-go wait for the headers before they believe that the watch is open.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        listener = asyncio.create_task(self._await_disconnect(receive), name="watch-disconnect")
        try:
            await self._pump(send)
        finally:
            self._watch.stop()
            listener.cancel()

    async def _pump(self, send: Send) -> None:
        while True:
            try:
                event = await self._watch.receive()
            except ApiError as error:
                await send(_chunk({"type": "ERROR", "object": status_body(error)}))
                event = None
            if event is None:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            await send(_chunk(self._presented(event)))

    def _presented(self, event: JsonObject) -> JsonObject:
        item = self._presenter.of_object(event["object"], with_columns=not self._columns_sent)
        self._columns_sent = True
        return {"type": event["type"], "object": item}

    async def _await_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._watch.stop()


class FailedWatchResponse(Response):
    """A watch that could not begin (410): clients look for that in an ERROR event, as the real server sends it."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(encode({"type": "ERROR", "object": status_body(error)}) + b"\n", media_type=JSON)


def _chunk(event: JsonObject) -> JsonObject:
    return {"type": "http.response.body", "body": encode(event) + b"\n", "more_body": True}
