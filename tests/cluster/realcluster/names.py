"""The cluster's DNS: the addresses of Services, and of nothing else."""

from __future__ import annotations

import asyncio

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from cachecore.errors import ApiError, NotFound
from cachesim.apiserver.builtin import SERVICE
from cachesim.apiserver.verbs import RawVerbs

_DOMAIN = dns.name.from_text("svc.cluster.local.")
_VALID_SECONDS = 5
# Resolvers ask again after five.
_ANSWER_SECONDS = 1.0


class ServiceNames(asyncio.DatagramProtocol):
    """Answers queries by what the API server says at that moment, or by what it said last, while it does not answer."""

    def __init__(self, verbs: RawVerbs) -> None:
        self._verbs = verbs
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: dict[tuple[str, str], str] = {}

    async def listen(self, address: str, port: int = 53) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(address, port))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.create_task(self._reply(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            query = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        question = query.question[0]
        address = await self._address(question.name)
        if not address:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            response.answer.append(dns.rrset.from_text(question.name, _VALID_SECONDS, "IN", "A", address))
        if self._transport is not None:
            self._transport.sendto(response.to_wire(), addr)

    async def _address(self, name: dns.name.Name) -> str:
        """Of the Service that has this name; "" when none has."""
        if not name.is_subdomain(_DOMAIN) or len(name) != len(_DOMAIN) + 2:
            return ""
        service, namespace = (label.decode() for label in name.labels[:2])
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                found = await self._verbs.get(SERVICE, service, namespace=namespace)
        except NotFound:
            return ""
        except (ApiError, TimeoutError):
            # As a real cluster's DNS does, which keeps what it has seen.
            return self._known.get((namespace, service), "")
        address = found["spec"].get("clusterIP", "")
        self._known[namespace, service] = "" if address == "None" else str(address)
        return self._known[namespace, service]
