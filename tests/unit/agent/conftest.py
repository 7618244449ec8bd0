"""One node with an agent over the fakes."""

from __future__ import annotations

import pytest

from cacheagent.testing import NodeRig


@pytest.fixture
def rig() -> NodeRig:
    return NodeRig()
