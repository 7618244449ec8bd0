"""The four kinds, as a person works with them."""

from __future__ import annotations

import json

import pytest

from cachesim.localcluster.testing import Kubectl


def patch_ready(kubectl: Kubectl, status: str) -> None:
    condition = {
        "type": "Ready",
        "status": status,
        "reason": "Told",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    body = json.dumps({"status": {"conditions": [condition]}})
    kubectl("patch", "lmc", "iris", "--subresource=status", "--type=merge", "-p", body)


def test_the_short_names_are_found(kubectl: Kubectl, cache: str) -> None:
    printed = kubectl("get", "lmc,lmng,lmn")
    assert "localmodelcache.serving.kserve.io/iris" in printed
    assert "localmodelnodegroup.serving.kserve.io/workers" in printed


def test_get_prints_the_columns_of_the_definition(kubectl: Kubectl, cache: str) -> None:
    header, row = kubectl("get", "lmc", "iris").splitlines()
    assert header.split() == ["NAME", "READY", "COPIES", "SIZE", "BYTES", "AGE"]
    assert row.split()[:2] == ["iris", "1Gi"]


def test_wide_prints_more_columns(kubectl: Kubectl, cache: str) -> None:
    assert "s3://models/iris" in kubectl("get", "lmc", "iris", "-o", "wide")
    assert "s3://models/iris" not in kubectl("get", "lmc", "iris")


def test_describe_shows_the_spec_and_the_events(kubectl: Kubectl, cache: str) -> None:
    printed = kubectl("describe", "lmc", "iris")
    assert "Source Model Uri:  s3://models/iris" in printed
    assert "Events:" in printed


@pytest.mark.parametrize("field", ["localmodelcache.spec", "lmng.spec.eviction", "lmn.status.models"])
def test_explain_tells_what_a_field_is(kubectl: Kubectl, field: str) -> None:
    printed = kubectl("explain", field)
    assert "DESCRIPTION:" in printed
    assert "<empty>" not in printed
    assert "FIELDS:" in printed


def test_apply_twice_changes_nothing(kubectl: Kubectl, cache: str, cache_manifest: str) -> None:
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=cache_manifest)


def test_diff_shows_what_apply_would_change(kubectl: Kubectl, cache: str, cache_manifest: str) -> None:
    ended = kubectl.run("diff", "-f", "-", stdin=cache_manifest.replace("1Gi", "2Gi"))
    assert ended.returncode == 1
    assert "+  modelSize: 2Gi" in ended.stdout


def test_diff_changes_nothing(kubectl: Kubectl, cache: str, cache_manifest: str) -> None:
    kubectl.run("diff", "-f", "-", stdin=cache_manifest.replace("1Gi", "2Gi"))
    assert kubectl("get", "lmc", "iris", "-o", "jsonpath={.spec.modelSize}") == "1Gi"


def test_server_side_apply_owns_fields(kubectl: Kubectl, group: str, cache_manifest: str) -> None:
    kubectl("apply", "--server-side", "--field-manager=first", "-f", "-", stdin=cache_manifest)
    changed = cache_manifest.replace("1Gi", "2Gi")
    ended = kubectl.run("apply", "--server-side", "--field-manager=second", "-f", "-", stdin=changed)
    kubectl("delete", "lmc", "iris")
    assert ended.returncode == 1
    assert 'conflict with "first"' in ended.stderr


@pytest.mark.parametrize(
    "way,body",
    [("merge", '{"spec":{"priority":5}}'), ("json", '[{"op":"replace","path":"/spec/priority","value":5}]')],
)
def test_patch_changes_a_field(kubectl: Kubectl, cache: str, way: str, body: str) -> None:
    kubectl("patch", "lmc", "iris", f"--type={way}", "-p", body)
    assert kubectl("get", "lmc", "iris", "-o", "jsonpath={.spec.priority}") == "5"


def test_a_field_that_is_unknown_is_named(kubectl: Kubectl, group: str, cache_manifest: str) -> None:
    ended = kubectl.run("apply", "-f", "-", stdin=cache_manifest + "  colour: red\n")
    assert ended.returncode == 1
    assert 'unknown field "spec.colour"' in ended.stderr


def test_wait_returns_when_the_condition_holds(kubectl: Kubectl, cache: str) -> None:
    waiting = kubectl.start("wait", "--for=condition=Ready", "lmc/iris", "--timeout=30s")
    patch_ready(kubectl, "True")
    printed, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 0, printed
    assert "condition met" in printed


def test_wait_says_when_it_has_waited_for_nothing(kubectl: Kubectl, cache: str) -> None:
    ended = kubectl.run("wait", "--for=condition=Ready", "lmc/iris", "--timeout=1s")
    assert ended.returncode == 1
    assert "timed out" in ended.stderr


def test_watch_prints_each_change(kubectl: Kubectl, cache: str) -> None:
    watching = kubectl.start("get", "lmc", "iris", "-w")
    assert watching.stdout is not None
    first = [watching.stdout.readline() for _ in range(2)]
    patch_ready(kubectl, "True")
    changed = watching.stdout.readline()
    watching.terminate()
    watching.communicate()
    assert first[0].split()[0] == "NAME"
    assert changed.split()[:2] == ["iris", "True"]


def test_delete_waits_until_the_object_is_gone(kubectl: Kubectl, cache: str) -> None:
    assert 'localmodelcache.serving.kserve.io "iris" deleted' in kubectl("delete", "lmc", "iris")
    assert "NotFound" in kubectl.run("get", "lmc", "iris").stderr
