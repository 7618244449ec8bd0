"""Pods, nodes and the rest, as a person looks at them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cachesim.localcluster.testing import Kubectl

POD = """
apiVersion: v1
kind: Pod
metadata: {name: reader, namespace: default, labels: {app: reader}}
spec:
  containers:
  - {name: main, image: reader, env: [{name: A, value: "1"}, {name: B, value: "2"}]}
"""


@pytest.fixture
def pod(kubectl: Kubectl) -> Iterator[str]:
    kubectl("apply", "-f", "-", stdin=POD)
    yield "reader"
    kubectl("delete", "--ignore-not-found", "--force", "--grace-period=0", "pod", "reader")


def test_api_resources_lists_the_kinds(kubectl: Kubectl) -> None:
    printed = kubectl("api-resources", "--api-group=serving.kserve.io", "-o", "name")
    assert "localmodelcaches.serving.kserve.io" in printed.split()


def test_pods_have_their_usual_columns(kubectl: Kubectl, pod: str) -> None:
    header, row = kubectl("get", "pods", "-o", "wide").splitlines()
    assert header.split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert row.split()[:4] == ["reader", "0/1", "Pending", "0"]


def test_a_pod_is_found_by_its_label(kubectl: Kubectl, pod: str) -> None:
    assert kubectl("get", "pods", "-l", "app=reader", "-o", "name").strip() == "pod/reader"
    assert kubectl("get", "pods", "-l", "app=other", "-o", "name") == ""


def test_a_strategic_patch_merges_by_name(kubectl: Kubectl, pod: str) -> None:
    body = {"metadata": {"labels": {"tier": "front"}}}
    kubectl("patch", "pod", "reader", "-p", json.dumps(body))
    labels = json.loads(kubectl("get", "pod", "reader", "-o", "jsonpath={.metadata.labels}"))
    assert labels == {"app": "reader", "tier": "front"}


def test_describe_shows_a_pod(kubectl: Kubectl, pod: str) -> None:
    printed = kubectl("describe", "pod", "reader")
    assert "A:         1" in printed or "A:  1" in printed


def test_label_and_annotate(kubectl: Kubectl, pod: str) -> None:
    kubectl("label", "pod", "reader", "x=y")
    kubectl("annotate", "pod", "reader", "note=well")
    found = json.loads(kubectl("get", "pod", "reader", "-o", "json"))["metadata"]
    assert found["labels"]["x"] == "y"
    assert found["annotations"]["note"] == "well"


def test_a_namespace_is_emptied_and_goes(kubectl: Kubectl) -> None:
    namespace = '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"short"}}'
    kubectl("apply", "-f", "-", stdin=namespace)
    kubectl("-n", "short", "apply", "-f", "-", stdin=POD.replace("namespace: default, ", ""))
    kubectl("delete", "namespace", "short")
    assert "NotFound" in kubectl.run("get", "namespace", "short").stderr


@pytest.mark.parametrize(
    "kind,arguments,found",
    [
        ("namespace", ("namespace", "binary"), "binary"),
        ("configmap", ("configmap", "binary", "--from-literal=a=b"), "b"),
        ("secret", ("secret", "generic", "binary", "--from-literal=a=b"), "Yg=="),
        ("serviceaccount", ("serviceaccount", "binary"), "binary"),
    ],
)
def test_create_makes_the_simple_kinds(kubectl: Kubectl, kind: str, arguments: tuple[str, ...], found: str) -> None:
    kubectl("create", *arguments)
    made = kubectl("get", kind, "binary", "-o", "jsonpath={.data.a}{.metadata.name}")
    kubectl("delete", kind, "binary")
    assert found in made


def test_create_of_another_kind_says_what_to_do(kubectl: Kubectl) -> None:
    ended = kubectl.run("create", "deployment", "binary", "--image=any")
    assert ended.returncode == 1
    assert "kubectl apply -f" in ended.stderr


def test_auth_tells_who_one_is_and_what_one_may(kubectl: Kubectl) -> None:
    assert "admin" in kubectl("auth", "whoami")
    assert kubectl("auth", "can-i", "create", "pods").strip() == "yes"


def test_drain_empties_a_node(kubectl: Kubectl, pod: str) -> None:
    kubectl("apply", "-f", "-", stdin='{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-1"}}')
    kubectl("delete", "pod", "reader")
    kubectl("apply", "-f", "-", stdin=POD.replace("spec:\n", "spec:\n  nodeName: node-1\n", 1))
    printed = kubectl.run("drain", "node-1", "--force", "--grace-period=0", "--timeout=20s")
    cordoned = kubectl("get", "node", "node-1", "-o", "jsonpath={.spec.unschedulable}")
    kubectl("delete", "node", "node-1")
    assert printed.returncode == 0, printed.stderr
    assert "node/node-1 drained" in printed.stdout
    assert cordoned == "true"


def test_explain_knows_pods(kubectl: Kubectl) -> None:
    assert "containers" in kubectl("explain", "pod.spec")


def test_logs_without_nodes_say_so(kubectl: Kubectl, pod: str) -> None:
    assert "leaves out pods/log, for want of nodes that keep them" in kubectl.run("logs", "reader").stderr


def test_exec_says_that_it_is_not_served(kubectl: Kubectl, pod: str) -> None:
    assert "leaves out pods/exec" in kubectl.run("exec", "reader", "--", "ls").stderr


def test_a_wrong_token_is_refused(kubectl: Kubectl) -> None:
    ended = kubectl.run("--token=wrong", "get", "pods")
    assert ended.returncode == 1
    assert "logged in" in ended.stderr or "credentials" in ended.stderr
