"""What an agent may do with the rights of the manifests: tell of its own node, and nothing else.

On a real API server only: ours knows neither rights nor ValidatingAdmissionPolicies. The tokens are those that a
kubelet asks for, bound to a pod that is bound to a node.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cachecore.errors import ApiError, Forbidden, NotFound
from cachecore.names import STORAGE_CONFIG_SECRET, SYSTEM_NAMESPACE
from cachecore.resources import serving
from cachecore.resources.meta import Resource
from cachesim.apiserver.builtin import CONFIG_MAP, NODE, POD, SECRET, SERVICE_ACCOUNT
from cachesim.apiserver.http.raw_client import HttpVerbs
from cachesim.apiserver.options import DeleteOptions
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.testing import refused
from cachesim.controlplane.testing import LivePlane
from cachesim.localcluster.testing import Kubectl

pytestmark = pytest.mark.control_plane

Call = Callable[[HttpVerbs], Coroutine[Any, Any, Any]]

OVERLAY = Path(__file__).parents[2] / "deploy" / "overlays" / "default"
ACCOUNT = "localmodel-agent"
OWN, OTHER = "policy-node-a", "policy-node-b"
MERGE = "application/merge-patch+json"
# Everything but what would run, or call the webhook.
KINDS = frozenset(
    """
    Namespace CustomResourceDefinition ServiceAccount Role RoleBinding ClusterRole ClusterRoleBinding PriorityClass
    ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
    """.split()
)
WIDER_ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: policy-test-wider}
rules:
  - apiGroups: [serving.kserve.io]
    resources: [localmodelnodes, localmodelnodes/status]
    verbs: [create, update, patch, delete]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: policy-test-wider}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: policy-test-wider}
subjects: [{kind: ServiceAccount, name: localmodel-agent, namespace: localmodel-system}]
"""


def type_of(kind: type[Resource]) -> ResourceType:
    known = kind.resource_type
    return ResourceType(
        group=known.group, version=known.version, kind=known.kind, plural=known.plural, namespaced=known.namespaced
    )


LOCAL_NODE = type_of(serving.LocalModelNode)
CACHE = type_of(serving.LocalModelCache)


def local_node(name: str) -> JsonObject:
    metadata = {"name": name, "labels": {"kept": "yes"}}
    return {"apiVersion": LOCAL_NODE.api_version, "kind": "LocalModelNode", "metadata": metadata, "spec": {}}


def pod(node: str) -> JsonObject:
    containers = [{"name": "agent", "image": "localmodel/agent"}]
    spec = {"serviceAccountName": ACCOUNT, "nodeName": node, "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"agent-on-{node}"}, "spec": spec}


class Fleet:
    """Two nodes, each with an agent's pod bound to it, and the LocalModelNodes of both."""

    def __init__(self, live: LivePlane) -> None:
        self._live = live
        self.tokens: dict[str, str] = {}

    def as_admin(self, call: Call) -> Any:
        return self._live.run(call(self._live.plane.verbs))

    def as_agent(self, call: Call, token: str = OWN) -> Any:
        """`token` is that of the agent on so named a node; "" is the account's own, bound to nothing."""
        return self._live.run(self.call_as_agent(call, token))

    async def call_as_agent(self, call: Call, token: str) -> Any:
        plane = self._live.plane
        async with HttpVerbs(plane.url, token=self.tokens[token], tls=plane.tls) as verbs:
            return await call(verbs)

    async def make(self, verbs: HttpVerbs) -> None:
        self.tokens[""] = await self._token(verbs, None)
        for name in (OWN, OTHER):
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"unschedulable": True}}
            await verbs.create(NODE, node)
            await verbs.create(LOCAL_NODE, local_node(name))
            made = await verbs.create(POD, pod(name), namespace=SYSTEM_NAMESPACE)
            self.tokens[name] = await self._token(verbs, made.object)

    async def _token(self, verbs: HttpVerbs, bound_to: JsonObject | None) -> str:
        spec: JsonObject = {"expirationSeconds": 3600, "audiences": []}
        if bound_to is not None:
            metadata = bound_to["metadata"]
            reference = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
            spec["boundObjectRef"] = reference
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await verbs.create(
            SERVICE_ACCOUNT, body, namespace=SYSTEM_NAMESPACE, name=ACCOUNT, subresource="token"
        )
        return str(answer.object["status"]["token"])

    async def until_in_force(self, verbs: HttpVerbs) -> None:
        """Policies, and roles, are followed a moment after they have been written."""
        for _ in range(200):
            with contextlib.suppress(ApiError):
                await self.call_as_agent(write_status(OWN), OWN)
                try:
                    await self.call_as_agent(write_status(OWN), "")
                except Forbidden:
                    return
            await asyncio.sleep(0.1)
        raise AssertionError("the policy does not come into force")

    async def unmake(self, verbs: HttpVerbs) -> None:
        for name in (OWN, OTHER):
            at_once = DeleteOptions(grace_period_seconds=0)
            await verbs.delete(POD, f"agent-on-{name}", namespace=SYSTEM_NAMESPACE, options=at_once)
            for kind in (LOCAL_NODE, NODE):
                with contextlib.suppress(NotFound):
                    await verbs.delete(kind, name)


def write_status(name: str, change: Callable[[JsonObject], None] = lambda _: None) -> Call:
    """Read, change, and write by way of the status subresource, as the agent does it."""

    async def call(verbs: HttpVerbs) -> JsonObject:
        found = await verbs.get(LOCAL_NODE, name)
        found["status"] = {"agentVersion": "0.1.0-of-the-test"}
        change(found)
        return (await verbs.update(LOCAL_NODE, name, found, subresource="status")).object

    return call


@pytest.fixture(scope="module")
def fleet(live_plane: LivePlane, kubectl: Kubectl) -> Iterator[Fleet]:
    manifests = [each for each in yaml.safe_load_all(kubectl("kustomize", str(OVERLAY))) if each["kind"] in KINDS]
    kubectl("apply", "--server-side", "--filename=-", stdin=yaml.safe_dump_all(manifests))
    kubectl("wait", "--for=condition=Established", "crd", f"localmodelnodes.{serving.GROUP}")
    made = Fleet(live_plane)
    made.as_admin(made.make)
    made.as_admin(made.until_in_force)
    yield made
    made.as_admin(made.unmake)


def test_an_agent_writes_the_status_of_its_own_node(fleet: Fleet) -> None:
    assert fleet.as_agent(write_status(OWN))["status"] == {"agentVersion": "0.1.0-of-the-test"}


def test_no_agent_writes_the_status_of_another_node(fleet: Fleet) -> None:
    with refused(403, "Forbidden") as errors:
        fleet.as_agent(write_status(OTHER))
    assert f"the agent of node {OWN} may write the LocalModelNode {OWN} only" in str(errors[0])


def test_a_token_that_names_no_node_writes_no_status(fleet: Fleet) -> None:
    with refused(403, "Forbidden") as errors:
        fleet.as_agent(write_status(OWN), token="")
    assert "this token names no node" in str(errors[0])


def test_the_policy_is_for_agents_alone(fleet: Fleet) -> None:
    assert fleet.as_admin(write_status(OTHER))["status"] == {"agentVersion": "0.1.0-of-the-test"}


def tamper(found: JsonObject) -> None:
    owner = {"apiVersion": "v1", "kind": "Node", "name": OWN, "uid": "0"}
    found["metadata"] |= {
        "labels": {"kept": "no", "more": "yes"},
        "annotations": {"more": "yes"},
        "finalizers": ["example.com/held"],
        "ownerReferences": [owner],
    }
    found["spec"] = {"localModels": [{"sourceModelUri": "s3://models/other", "modelName": "other"}]}


def test_nothing_but_the_status_changes_with_the_status(fleet: Fleet) -> None:
    written = fleet.as_agent(write_status(OWN, tamper))
    assert written == fleet.as_admin(lambda verbs: verbs.get(LOCAL_NODE, OWN))
    assert written["metadata"]["labels"] == {"kept": "yes"}
    assert {"annotations", "finalizers", "ownerReferences"} & set(written["metadata"]) == set()
    assert written["spec"].get("localModels", []) == []
    assert written["metadata"]["generation"] == 1


REFUSED: dict[str, Call] = {
    "its own spec": lambda verbs: verbs.patch(LOCAL_NODE, OWN, MERGE, {"spec": {"localModels": []}}),
    "its own object": lambda verbs: verbs.update(LOCAL_NODE, OWN, local_node(OWN)),
    "its own deletion": lambda verbs: verbs.delete(LOCAL_NODE, OWN),
    "another LocalModelNode": lambda verbs: verbs.create(LOCAL_NODE, local_node("policy-node-c")),
    "a patched status": lambda verbs: verbs.patch(LOCAL_NODE, OWN, MERGE, {"status": {}}, subresource="status"),
    "its Node": lambda verbs: verbs.get(NODE, OWN),
    "the labels of its Node": lambda verbs: verbs.patch(NODE, OWN, MERGE, {"metadata": {"labels": {"a": "b"}}}),
    "the taints of its Node": lambda verbs: verbs.patch(NODE, OWN, MERGE, {"spec": {"taints": []}}),
    "a secret": lambda verbs: verbs.get(SECRET, "another", "default"),
    "the list of secrets": lambda verbs: verbs.list(SECRET, namespace=SYSTEM_NAMESPACE),
    "a changed secret": lambda verbs: verbs.patch(SECRET, STORAGE_CONFIG_SECRET, MERGE, {}, namespace="default"),
    "a ConfigMap": lambda verbs: verbs.get(CONFIG_MAP, "another", "default"),
    "the list of caches": lambda verbs: verbs.list(CACHE),
    "a cache": lambda verbs: verbs.get(CACHE, "another"),
    "a cache's status": lambda verbs: verbs.patch(CACHE, "another", MERGE, {"status": {}}, subresource="status"),
    "a pod": lambda verbs: verbs.create(POD, pod(OTHER), namespace=SYSTEM_NAMESPACE),
    "a changed pod": lambda verbs: verbs.patch(POD, f"agent-on-{OTHER}", MERGE, {}, namespace=SYSTEM_NAMESPACE),
    "an ended pod": lambda verbs: verbs.delete(POD, f"agent-on-{OTHER}", namespace=SYSTEM_NAMESPACE),
    "an account": lambda verbs: verbs.get(SERVICE_ACCOUNT, "default", "default"),
    "another token": lambda verbs: verbs.create(
        SERVICE_ACCOUNT, {}, namespace=SYSTEM_NAMESPACE, name="localmodel-manager", subresource="token"
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_agent_s_role_does_not_give_it(fleet: Fleet, what: str) -> None:
    with refused(403, "Forbidden") as errors:
        fleet.as_agent(REFUSED[what])
    assert f'User "system:serviceaccount:{SYSTEM_NAMESPACE}:{ACCOUNT}" cannot' in str(errors[0])


READ: dict[str, Call] = {
    "its own LocalModelNode": lambda verbs: verbs.list(LOCAL_NODE, field_selector=f"metadata.name={OWN}"),
    "the pods of its node": lambda verbs: verbs.list(POD, field_selector=f"spec.nodeName={OWN}"),
    "the credentials that caches name": lambda verbs: verbs.get(SECRET, STORAGE_CONFIG_SECRET, "default"),
    "KServe's CA bundle": lambda verbs: verbs.get(CONFIG_MAP, "global-ca-bundle", "default"),
    "secrets of the system": lambda verbs: verbs.get(SECRET, "of-a-cache", SYSTEM_NAMESPACE),
    "accounts of the system": lambda verbs: verbs.get(SERVICE_ACCOUNT, "default", SYSTEM_NAMESPACE),
}


@pytest.mark.parametrize("what", READ)
def test_an_agent_may_read(fleet: Fleet, what: str) -> None:
    # What is not there is not forbidden.
    with contextlib.suppress(NotFound):
        fleet.as_agent(READ[what])


@pytest.fixture
def wider_role(kubectl: Kubectl, fleet: Fleet) -> Iterator[None]:
    kubectl("apply", "--filename=-", stdin=WIDER_ROLE)
    fleet.as_admin(lambda _: _until_allowed(fleet))
    yield
    kubectl("delete", "clusterrole,clusterrolebinding", "policy-test-wider")


async def _until_allowed(fleet: Fleet) -> None:
    for _ in range(100):
        try:
            await fleet.call_as_agent(lambda verbs: verbs.delete(LOCAL_NODE, OTHER), OWN)
        except Forbidden as error:
            if "cannot delete" not in str(error):
                return
        await asyncio.sleep(0.1)
    raise AssertionError("the role does not come into force")


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("its own spec", "an agent may write the status of a LocalModelNode only"),
        ("its own deletion", "an agent may write the status of a LocalModelNode only"),
        ("another LocalModelNode", f"the agent of node {OWN} may write the LocalModelNode {OWN} only"),
    ],
)
@pytest.mark.usefixtures("wider_role")
def test_the_policy_holds_when_a_role_gives_more(fleet: Fleet, what: str, why: str) -> None:
    with refused(403, "Forbidden") as errors:
        fleet.as_agent(REFUSED[what])
    assert why in str(errors[0])
