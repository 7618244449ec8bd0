"""One cluster for all of it, with a healthy model that nothing bad may touch."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cachesim.localcluster.testing import Kubectl
from cachesim.localcluster.testing_bench import Bench

HEALTHY = "s3://models/healthy"
CONTENTS = {"weights.bin": os.urandom(2**20), "config.json": b"{}", "sub/tokenizer.json": b"[]"}


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Models may take 16 MiB of its node."""
    bench = Bench(tmp_path_factory.mktemp("bad-input"))
    try:
        bench.start("16Mi")
        bench.put("models", {f"healthy/{path}": content for path, content in CONTENTS.items()})
        bench.cache("healthy", HEALTHY)
        bench.ready("healthy")
        yield bench
    finally:
        bench.stop()


@pytest.fixture
def kubectl(bench: Bench) -> Kubectl:
    found = bench.kubectl()
    if found is None:
        pytest.skip("kubectl not found")
    return found


@pytest.fixture(autouse=True)
def nothing_is_lost(bench: Bench) -> Iterator[None]:
    """Whatever a test has done, the healthy model is where it was: told of, and whole."""
    yield
    assert bench.copy(HEALTHY).state == "Downloaded"
    assert bench.published(HEALTHY) == CONTENTS
    bench.ready("healthy")
