"""A pod's binding subresource: how a scheduler gives a pod to a node, once."""

from __future__ import annotations

from cachesim.apiserver.errors import bad_request, conflict
from cachesim.apiserver.options import Answer, WriteOptions
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.writes import Writer


async def bind_pod(
    writer: Writer,
    resource_type: ResourceType,
    name: str,
    namespace: str,
    body: JsonObject,
    options: WriteOptions,
) -> Answer:
    """Set spec.nodeName and the PodScheduled condition. Raises Conflict when the pod is bound, or being deleted."""
    node = (body.get("target") or {}).get("name")
    if not node:
        raise bad_request("Binding: target.name: Required value")

    def bound(pod: JsonObject) -> JsonObject:
        assigned = pod["spec"].get("nodeName")
        if assigned:
            raise conflict(resource_type, name, f'pod {name} is already assigned to node "{assigned}"')
        if pod["metadata"].get("deletionTimestamp"):
            raise conflict(resource_type, name, f"pod {name} is being deleted, cannot be assigned to a host")
        return {**pod, "spec": {**pod["spec"], "nodeName": node}}

    await writer.modify(resource_type, name, namespace, "", bound, options)
    return Answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, (), True)
