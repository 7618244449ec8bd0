"""What the parts of one agent share."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cacheagent.memory import Memory
from cacheagent.metrics import AgentMetrics
from cacheagent.options import AgentOptions
from cacheagent.records import Records
from cacheagent.store import Store
from cachecore.ports import ClusterClient, Runtime


class NodeContext(msgspec.Struct, frozen=True, kw_only=True):
    """`tell(type, reason, message)` makes an Event of the node; `changed()` asks for a reconcile."""

    runtime: Runtime
    client: ClusterClient
    options: AgentOptions
    store: Store
    memory: Memory
    records: Records
    metrics: AgentMetrics
    tell: Callable[[str, str, str], None]
    changed: Callable[[], None]
