"""A server on virtual time for each test."""

from __future__ import annotations

import pytest

from cachesim.apiserver.testing_cluster import Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()
