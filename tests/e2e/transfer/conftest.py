"""An S3 that goes wrong, and downloads from it onto a real disk; each test has a model of its own name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from cachesim.localcluster.testing_s3 import TestingS3
from cachesim.localcluster.testing_transfer import TransferBench

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransferBench]:
    with TestingS3() as s3, TransferBench(s3, tmp_path_factory.mktemp("store")) as bench:
        yield bench


@pytest.fixture
def model(bench: TransferBench) -> Iterator[str]:
    yield f"model-{next(NUMBERS)}"
    bench.s3.heal()
    bench.s3.objects.clear()
