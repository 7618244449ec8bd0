"""What an agent logs of its plans."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import msgspec
import pytest

from cacheagent.decisions import NodePlanned
from cacheagent.testing import NodeRig
from cachecore.errors import DiskFailure
from cachecore.names import storage_key
from cachecore.resources.serving import Storage


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Any:
    """The decisions so far, by way of JSON."""
    caplog.set_level(logging.INFO, logger="cacheagent.decisions")

    def decisions() -> list[NodePlanned]:
        found = [vars(record)["decision"] for record in caplog.records if record.name == "cacheagent.decisions"]
        return [msgspec.json.decode(msgspec.json.encode(one), type=NodePlanned) for one in found]

    return decisions


def test_a_download_is_told_action_by_action(rig: NodeRig, told: Any) -> None:
    entry = rig.model("m")
    rig.assign(entry)
    rig.settle()
    actions = [(action.kind, action.key, action.reason) for plan in told() for action in plan.actions]
    key = storage_key(entry.source_model_uri)
    assert actions == [
        ("MakeView", key, "Assigned"),
        ("Resolve", key, "SizeUnknown"),
        ("Fetch", key, "Assigned"),
    ]


def test_what_was_seen_comes_with_it(rig: NodeRig, told: Any) -> None:
    rig.assign(rig.model("m", size_bytes=40))
    rig.settle()
    seen = told()[-1].seen
    assert [(one.listing.size_bytes, one.listing.current, one.view) for one in seen.keys] == [(40, True, True)]
    assert seen.spec.storage == rig.policy
    assert seen.disk.total_bytes == 1 << 20


def test_a_plan_without_actions_is_not_told(rig: NodeRig, told: Any) -> None:
    rig.assign(rig.model("m"))
    rig.settle()
    before = len(told())
    rig.settle()
    assert len(told()) == before


def test_whose_credentials_are_used_is_not_told(rig: NodeRig, told: Any) -> None:
    secretive = Storage(key="prod", parameters={"password": "swordfish"})
    rig.assign(msgspec.structs.replace(rig.model("m"), service_account_name="robot", storage=secretive))
    rig.settle()
    lines = msgspec.json.encode(told()).decode()
    assert "MakeView" in lines
    assert not any(word in lines for word in ("swordfish", "prod", "robot"))


def test_nothing_is_put_together_when_nobody_listens(
    rig: NodeRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[object] = []
    monkeypatch.setattr("cacheagent.decisions._key_seen", lambda *arguments, **_: made.append(arguments))
    caplog.set_level(logging.WARNING, logger="cacheagent.decisions")
    rig.assign(rig.model("m"))
    rig.settle()
    assert made == []


def test_a_plan_that_is_made_again_is_told_once(rig: NodeRig, told: Any) -> None:
    rig.assign(rig.model("m"))
    rig.disk.faults.fail("make_directory", DiskFailure("the disk is read-only"), pattern="*/models", times=None)
    rig.settle()
    plans = [(plan.actions, plan.keep) for plan in told()]
    assert plans[-1][0][0].kind == "MakeView"
    assert not any(one == after for one, after in itertools.pairwise(plans))
    assert len(plans) < rig.disk.faults.count("make_directory", "*/models")
