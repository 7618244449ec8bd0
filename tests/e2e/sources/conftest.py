"""A node that models are downloaded to."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachesim.localcluster.testing_sources import SourceNode


@pytest.fixture
def node(tmp_path: Path) -> SourceNode:
    home = tmp_path / "disk"
    home.mkdir()
    return SourceNode(home)
