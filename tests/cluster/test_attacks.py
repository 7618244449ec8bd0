"""Whoever takes over a node has its agent's token; what he can't do with it.

The token is the one that the kubelet has put on the node's disk, the requests come from that node, and the API server
is the one that the agents speak to. tests/contract/test_agent_policy.py has the policy alone, to the last word.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from realcluster import audit
from realcluster.deployment import DEMO, SYSTEM, Deployment
from realcluster.faults import expect, until

OWN, OTHER = "node-a", "node-b"
VICTIM = "localmodel-attacked"
API = "https://10.77.0.1"
TOKENS = "/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~projected/*/token"
ATTACKER = "an-attacker"
MERGE = "application/merge-patch+json"
LOCAL_NODES = "/apis/serving.kserve.io/v1alpha1/localmodelnodes"
CACHES = "/apis/serving.kserve.io/v1alpha1/localmodelcaches"
PODS = "/api/v1/namespaces/{}/pods"
# A request, as a program that needs nothing but Python: the answer's code, and the answer.
_ASK = """
import ssl, sys, urllib.error, urllib.request
method, url, token, agent, media_type, body = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}", "User-Agent": agent, "Content-Type": media_type}
request = urllib.request.Request(url, body.encode() or None, headers, method=method)
context = ssl._create_unverified_context()
try:
    answer = urllib.request.urlopen(request, context=context)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode(), sep="\\n")
"""
SECRET = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {VICTIM}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: of-others, namespace: {VICTIM}}}
stringData: {{key: none-of-yours}}
"""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    code: int
    message: str


class Thief:
    """On a node that was taken over, with the token of its agent."""

    def __init__(self, deployed: Deployment) -> None:
        self._deployed = deployed
        self._node = deployed.cluster.nodes[OWN]
        port = re.search(r":(\d+)$", deployed.cluster.plane.url)
        assert port is not None
        self._api = f"{API}:{port.group(1)}"
        selector = ("--selector=app.kubernetes.io/name=localmodel-agent", f"--field-selector=spec.nodeName={OWN}")
        [pod] = json.loads(deployed.kubectl("-n", SYSTEM, "get", "pods", *selector, "--output=json"))["items"]
        self.pod: str = pod["metadata"]["name"]
        tokens = TOKENS.format(uid=pod["metadata"]["uid"])
        self._token = deployed.cluster.run(self._node.run("sh", "-c", f"cat {tokens}")).strip()

    def ask(self, method: str, path: str, body: Any = None, *, media_type: str = "application/json") -> Answer:
        """What the API server says to a request that is made on the node."""
        given = "" if body is None else json.dumps(body)
        program = (sys.executable, "-I", "-c", _ASK)
        said = self._deployed.cluster.run(
            self._node.run(*program, method, f"{self._api}{path}", self._token, ATTACKER, media_type, given)
        )
        code, _, content = said.partition("\n")
        document = json.loads(content) if content.startswith("{") else {}
        return Answer(code=int(code), message=str(document.get("message", "")))


@pytest.fixture(scope="module")
def thief(deployed: Deployment) -> Iterator[Thief]:
    deployed.kubectl("apply", "--filename=-", given=SECRET)
    yield Thief(deployed)
    deployed.kubectl("delete", f"namespace/{VICTIM}")


def local_node(deployed: Deployment, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(deployed.kubectl("get", f"localmodelnode/{name}", "--output=json"))
    return found


def test_it_is_the_agent_s_token(thief: Thief) -> None:
    """Or nothing below would prove anything."""
    assert thief.ask("GET", f"{LOCAL_NODES}/{OWN}").code == 200


def test_another_node_s_status_is_not_his_to_write(deployed: Deployment, thief: Thief) -> None:
    forged = local_node(deployed, OTHER)
    forged["status"]["modelStatus"] = {"assistant": "ModelDownloaded", "another": "ModelDownloaded"}
    answer = thief.ask("PUT", f"{LOCAL_NODES}/{OTHER}/status", forged)
    assert answer.code == 403
    assert f"the agent of node {OWN} may write the LocalModelNode {OWN} only" in answer.message
    assert "another" not in local_node(deployed, OTHER)["status"]["modelStatus"]


def test_with_his_own_status_he_changes_nothing_else(deployed: Deployment, thief: Thief) -> None:
    before = local_node(deployed, OWN)
    forged = {**before, "spec": {"localModels": []}}
    forged["metadata"] = {**before["metadata"], "labels": {"mine": "yes"}}
    assert thief.ask("PUT", f"{LOCAL_NODES}/{OWN}/status", forged).code in (200, 409)
    after = local_node(deployed, OWN)
    assert after["spec"] == before["spec"]
    assert "labels" not in after["metadata"]


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "mine"},
    "spec": {"containers": [{"name": "mine", "image": "localmodel/agent:0.1.0"}], "nodeName": OTHER},
}
LABELS = {"metadata": {"labels": {"mine": "yes"}}}
TOKEN_REQUEST = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
REFUSED: dict[str, tuple[str, str, Any]] = {
    "its own spec": ("PATCH", f"{LOCAL_NODES}/{OWN}", {"spec": {"localModels": []}}),
    "its own LocalModelNode's end": ("DELETE", f"{LOCAL_NODES}/{OWN}", None),
    "another LocalModelNode": ("POST", LOCAL_NODES, {"metadata": {"name": "node-c"}, "spec": {}}),
    "the labels of its Node": ("PATCH", f"/api/v1/nodes/{OWN}", LABELS),
    "the labels of another Node": ("PATCH", f"/api/v1/nodes/{OTHER}", LABELS),
    "the list of Nodes": ("GET", "/api/v1/nodes", None),
    "a cache": ("POST", CACHES, {"metadata": {"name": "mine"}, "spec": {}}),
    "a cache's end": ("DELETE", f"{CACHES}/assistant", None),
    "the status of a cache": ("PATCH", f"{CACHES}/assistant/status", {"status": {}}),
    "a secret of another namespace": ("GET", f"/api/v1/namespaces/{VICTIM}/secrets/of-others", None),
    "the credentials of a service": ("GET", f"/api/v1/namespaces/{DEMO}/secrets/demo-s3", None),
    "the list of all secrets": ("GET", "/api/v1/secrets", None),
    "the list of the system's secrets": ("GET", f"/api/v1/namespaces/{SYSTEM}/secrets", None),
    "a secret of the system, to write": ("PATCH", f"/api/v1/namespaces/{SYSTEM}/secrets/storage-config", LABELS),
    "a pod on another node": ("POST", PODS.format(SYSTEM), POD),
    "a pod in another namespace": ("POST", PODS.format("kube-system"), POD),
    "a pod's end": ("DELETE", PODS.format(DEMO), None),
    "a command in a pod": ("POST", f"{PODS.format(SYSTEM)}/AGENT/exec?command=id&container=agent&stdout=true", None),
    "a pod's log": ("GET", f"{PODS.format(SYSTEM)}/AGENT/log?container=agent", None),
    "a token of the manager": (
        "POST",
        f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/localmodel-manager/token",
        TOKEN_REQUEST,
    ),
    "a token of its own account": (
        "POST",
        f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/localmodel-agent/token",
        TOKEN_REQUEST,
    ),
    "a role": ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {"metadata": {"name": "mine"}}),
    "a volume": ("DELETE", "/api/v1/persistentvolumes/assistant-workers-localmodel-demo", None),
}


@pytest.mark.parametrize("what", REFUSED)
def test_he_does_not_get(thief: Thief, what: str) -> None:
    method, path, body = REFUSED[what]
    answer = thief.ask(
        method, path.replace("AGENT", thief.pod), body, media_type=MERGE if method == "PATCH" else "application/json"
    )
    assert answer.code == 403
    assert f'User "{audit.PREFIX}localmodel-agent" cannot' in answer.message


def test_he_can_be_told_from_the_agents(deployed: Deployment, thief: Thief) -> None:
    """By the audit log: the agents say who they are, and ask for nothing that is refused."""
    thief.ask("GET", "/api/v1/nodes")
    attacks = [event for event in audit.requests(deployed, by_others=True) if event.get("userAgent") == ATTACKER]
    assert any(event["responseStatus"]["code"] == 403 for event in attacks)


def test_the_token_outlives_no_agent(deployed: Deployment, thief: Thief) -> None:
    """A token that was copied is of no use once the pod that it is bound to has gone.

    The API server goes by what it found for ten seconds.
    """
    deployed.kubectl("-n", SYSTEM, "delete", f"pod/{thief.pod}", "--timeout=60s")
    until(lambda: expect(thief.ask("GET", f"{LOCAL_NODES}/{OWN}").code == 401, "the token is still good"), 20.0)
    deployed.kubectl("-n", SYSTEM, "rollout", "status", "daemonset/localmodel-agent", "--timeout=60s")
