"""Paths, media types and options, as they come from the wire."""

from __future__ import annotations

from typing import Any

import pytest

from cachecore.errors import ApiError, Invalid, NotFound
from cachesim.apiserver.builtin import builtin_registry
from cachesim.apiserver.http.content import decode, decode_object
from cachesim.apiserver.http.negotiation import Form, negotiate
from cachesim.apiserver.http.targets import parse_target
from cachesim.apiserver.http.verbs import Caller, delete_options, write_options

CALLER = Caller("admin", "kubectl/v1.32 (linux)")


@pytest.mark.parametrize(
    "path,found",
    [
        ("/api/v1/pods", ("pods", "", "", "")),
        ("/api/v1/namespaces", ("namespaces", "", "", "")),
        ("/api/v1/namespaces/a", ("namespaces", "", "a", "")),
        ("/api/v1/namespaces/a/status", ("namespaces", "", "a", "status")),
        ("/api/v1/namespaces/a/pods", ("pods", "a", "", "")),
        ("/api/v1/namespaces/a/pods/b", ("pods", "a", "b", "")),
        ("/api/v1/namespaces/a/pods/b/status", ("pods", "a", "b", "status")),
        ("/api/v1/nodes/n", ("nodes", "", "n", "")),
        ("/apis/coordination.k8s.io/v1/namespaces/a/leases/l", ("leases", "a", "l", "")),
        ("/api/v1/namespaces/a/pods/b%3Ac", ("pods", "a", "b:c", "")),
    ],
)
def test_a_path_names(path: str, found: tuple[str, ...]) -> None:
    target = parse_target(builtin_registry(), path)
    assert (target.resource_type.plural, target.namespace, target.name, target.subresource) == found


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/v1/unknown",
        "/api/v2/pods",
        "/api/v1/pods/without-namespace",
        "/api/v1/namespaces/a/nodes/n",
        "/api/v1/namespaces/a/pods/b/c/d",
        "/api/v1/namespaces/a/pods//status",
        "/apis/none/v1/pods",
    ],
)
def test_a_path_that_names_nothing_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        parse_target(builtin_registry(), path)


@pytest.mark.parametrize(
    "accept,form",
    [
        ("", Form.OBJECT),
        ("*/*", Form.OBJECT),
        ("application/json", Form.OBJECT),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Form.TABLE),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Form.OBJECT),
        ("application/vnd.kubernetes.protobuf,application/json", Form.OBJECT),
        ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Form.PARTIAL),
    ],
)
def test_the_first_form_that_can_be_given_is_given(accept: str, form: Form) -> None:
    assert negotiate(accept).form is form


def test_nothing_acceptable_is_a_406() -> None:
    with pytest.raises(Invalid) as caught:
        negotiate("application/vnd.kubernetes.protobuf")
    assert caught.value.status_code == 406


@pytest.mark.parametrize("content_type", ["application/yaml", "application/apply-patch+yaml", "text/yaml"])
def test_yaml_is_read_with_times_as_text(content_type: str) -> None:
    assert decode(b"a: 2026-01-01T00:00:00Z\nb: [1, true]", content_type) == {
        "a": "2026-01-01T00:00:00Z",
        "b": [1, True],
    }


@pytest.mark.parametrize(
    "body,content_type,code",
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"a: [", "application/yaml", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"k8s\x00", "application/vnd.kubernetes.protobuf", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b" " * (3 * 1024 * 1024 + 1), "application/json", 413),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(body: bytes, content_type: str, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        decode_object(body, content_type)
    assert caught.value.status_code == code


def test_the_program_is_the_manager_when_none_is_named() -> None:
    assert write_options({}, CALLER).field_manager == "kubectl"
    assert write_options({"fieldManager": "me"}, CALLER).field_manager == "me"


@pytest.mark.parametrize("query", [{"dryRun": "Some"}, {"fieldValidation": "Loose"}])
def test_a_write_option_that_is_unknown_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        write_options(query, CALLER)


def test_the_options_of_a_deletion_come_from_its_body() -> None:
    body: dict[str, Any] = {
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Foreground",
        "preconditions": {"uid": "u", "resourceVersion": "7"},
        "dryRun": ["All"],
    }
    options = delete_options({"gracePeriodSeconds": "9"}, CALLER, body)
    assert (options.grace_period_seconds, options.propagation_policy, options.uid) == (0, "Foreground", "u")
    assert (options.resource_version, options.dry_run) == ("7", True)


def test_the_options_of_a_deletion_come_from_its_query_else() -> None:
    options = delete_options({"gracePeriodSeconds": "9", "propagationPolicy": "Orphan"}, CALLER, {})
    assert (options.grace_period_seconds, options.propagation_policy) == (9, "Orphan")


def test_an_unknown_propagation_policy_is_refused() -> None:
    with pytest.raises(Invalid, match="Sideways"):
        delete_options({}, CALLER, {"propagationPolicy": "Sideways"})
