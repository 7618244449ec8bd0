"""Where models may come from, and what another host is told."""

from __future__ import annotations

import pytest

from cacheagent.adapters.http_ranges import is_of_the_node
from cacheagent.adapters.redirections import Hop
from cachecore.errors import SourceUnavailable

HEADERS = {"Authorization": "s3cret", "X-Key": "s3cret", "Range": "bytes=0-9", "If-Match": '"1"'}


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "169.254.170.2", "fe80::1%eth0", "::ffff:169.254.169.254", "fd00:ec2::254"]
)
def test_what_tells_the_nodes_credentials_is_no_source(address: str) -> None:
    assert is_of_the_node(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "93.184.215.14", "::1", "fd00::1"])
def test_other_addresses_are(address: str) -> None:
    assert not is_of_the_node(address)


def test_another_host_is_told_nothing_that_may_be_secret() -> None:
    hop = Hop("https://hub.example/a").next("https://cdn.example/b", "a")
    assert hop.headers(HEADERS) == {"Range": "bytes=0-9", "If-Match": '"1"'}


def test_the_same_host_is_told_everything() -> None:
    assert Hop("https://hub.example/a").next("/b?c=1", "a") == Hop("https://hub.example/b?c=1")


def test_the_way_back_is_told_nothing_either() -> None:
    hop = Hop("https://hub.example/a").next("https://cdn.example/b", "a").next("https://hub.example/c", "a")
    assert "Authorization" not in hop.headers(HEADERS)


def test_another_port_is_another_host() -> None:
    assert Hop("https://hub.example/a").next("https://hub.example:8443/a", "a").elsewhere


@pytest.mark.parametrize("location", ["http://hub.example/a", "ftp://hub.example/a"])
def test_nothing_leads_away_from_https(location: str) -> None:
    with pytest.raises(SourceUnavailable, match="from https to"):
        Hop("https://hub.example/a").next(location, "a")
