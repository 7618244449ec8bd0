"""Manifests that are wrong, by kubectl apply: it fails, says in words what to do, and nothing is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cachesim.localcluster.testing import Kubectl
from cachesim.localcluster.testing_bench import Bench, cache_manifest, group_manifest

URI = "s3://models/manifest"


def refused(kubectl: Kubectl, manifest: dict[str, Any]) -> str:
    """What kubectl prints."""
    ended = kubectl.run("apply", "-f", "-", stdin=json.dumps(manifest))
    assert ended.returncode == 1, ended.stdout
    assert ended.stdout == ""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    assert kubectl("get", kind, name, "--ignore-not-found") == ""
    return ended.stderr


@pytest.mark.parametrize(
    "spec, words",
    [
        ({"nodeGroups": ["nowhere"]}, "there is no LocalModelNodeGroup nowhere (there is workers): make it first"),
        (
            {"modelSize": "10Gi"},
            "spec.modelSize 10Gi is more than the storageLimit 16Mi of LocalModelNodeGroup workers",
        ),
        ({"uri": "ftp://host/x"}, "no driver for ftp://; use one of s3, gs, abfs, hf, http, https, file"),
        ({"uri": "pvc://claim/x"}, "is a claim, which pods mount without a cache"),
        ({"uri": "s3:///x"}, "spec.sourceModelUri s3:///x names no bucket: write it like s3://bucket/model"),
        ({"uri": "hf://owner"}, "names no model: write it like hf://owner/model"),
        ({"uri": "s3://models/healthy"}, "LocalModelCache healthy caches s3://models/healthy already"),
    ],
)
def test_the_webhook_refuses_in_one_line(kubectl: Kubectl, spec: dict[str, Any], words: str) -> None:
    said = refused(kubectl, cache_manifest("bad", **{"uri": URI, **spec}))
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "spec, words",
    [
        ({"copies": 0}, "spec.copies: Invalid value: 0: spec.copies in body should be greater than or equal to 1"),
        ({"modelSize": "abc"}, 'spec.modelSize: Invalid value: "abc"'),
        ({"modelSize": "10GB"}, 'spec.modelSize: Invalid value: "10GB"'),
        ({"nodeGroups": []}, "spec.nodeGroups in body should have at least 1 items"),
        ({"nodeGroups": ["workers", "workers"]}, 'spec.nodeGroups[1]: Duplicate value: "workers"'),
        ({"digest": "sha256:abc"}, 'spec.digest: Invalid value: "sha256:abc"'),
        ({"uri": "models/x"}, "must be a URI with a scheme and without spaces, such as s3://bucket/model"),
        ({"sourceModelURI": "s3://x/y"}, 'unknown field "spec.sourceModelURI"'),
    ],
)
def test_the_schema_refuses_and_names_the_field(kubectl: Kubectl, spec: dict[str, Any], words: str) -> None:
    assert words in refused(kubectl, cache_manifest("bad", **{"uri": URI, **spec}))


def test_a_name_that_is_too_long_for_a_label(kubectl: Kubectl) -> None:
    assert "at most 63 characters" in refused(kubectl, cache_manifest("a" * 64, URI))


def test_the_uri_never_changes(kubectl: Kubectl) -> None:
    ended = kubectl.run("apply", "-f", "-", stdin=json.dumps(cache_manifest("healthy", "s3://models/other")))
    assert ended.returncode == 1
    assert "sourceModelUri is immutable; make another cache for another URI" in ended.stderr
    assert kubectl("get", "lmc", "healthy", "-o", "jsonpath={.spec.sourceModelUri}") == "s3://models/healthy"


def group(**changes: Any) -> dict[str, Any]:
    """A node group with another spec."""
    manifest = group_manifest("bad", "16Mi")
    return {**manifest, "spec": {**manifest["spec"], **changes}}


@pytest.mark.parametrize(
    "manifest, words",
    [
        (group(eviction={"highWatermark": 50, "lowWatermark": 80}), "lowWatermark must be lower than highWatermark"),
        (group(eviction={"lowWatermark": 95}), "lowWatermark must be lower than highWatermark"),
        (group(eviction={"policy": "FIFO"}), 'Unsupported value: "FIFO": supported values: "LRU"'),
        (group(storageLimit="big"), 'spec.storageLimit: Invalid value: "big"'),
        (group(maxConcurrentDownloads=0), "should be greater than or equal to 1"),
        (group(persistentVolumeSpec={}), "spec.persistentVolumeSpec needs a local.path (or hostPath.path)"),
        (group_manifest("bad", "16Mi", path="models"), 'spec.persistentVolumeSpec.local.path: Invalid value: "models"'),
        (group_manifest("bad", "16Mi", path="/"), "path '/' must be absolute, below the root, and without .."),
        (group_manifest("bad", "16Mi", path="/var/../etc"), "must be absolute, below the root, and without .."),
    ],
)
def test_a_node_group_that_cannot_be(kubectl: Kubectl, manifest: dict[str, Any], words: str) -> None:
    assert words in refused(kubectl, manifest)


def test_a_node_group_in_use_is_not_deleted(kubectl: Kubectl) -> None:
    ended = kubectl.run("delete", "lmng", "workers")
    assert ended.returncode == 1
    assert "LocalModelNodeGroup workers is in use by LocalModelCache " in ended.stderr
    assert "delete that first, or take the group off its nodeGroups" in ended.stderr


def test_a_group_without_nodes_says_so_and_so_does_its_cache(bench: Bench, kubectl: Kubectl) -> None:
    manifest = group_manifest("nobody", "16Mi")
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-9"]}]}]
    manifest["spec"]["persistentVolumeSpec"]["nodeAffinity"]["required"]["nodeSelectorTerms"] = terms
    kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    bench.cache("nobody", "s3://models/nobody", nodeGroups=["nobody"])
    assert bench.condition("nobody", "NoNodes").message.startswith("no node takes the model")
    kubectl("wait", "--for=condition=Ready=false", "lmng/nobody", "--timeout=30s")
    assert "no node matches the node affinity and the nodeSelector" in kubectl("describe", "lmng", "nobody")
    bench.delete("nobody")
    kubectl("delete", "lmng", "nobody")
