"""A fault of a zone strikes each of its nodes."""

from __future__ import annotations

import pytest

from cachesim.faults.plan import Fault
from cachesim.simulation.scenario import Nodes
from cachesim.simulation.zones import spread_over_zones, zone_names


def _nodes(count: int, zones: int) -> Nodes:
    return Nodes(count=count, disk="1Gi", zones=zones)


@pytest.mark.parametrize("zones, names", [(1, []), (2, ["zone-1", "zone-2"])])
def test_a_single_zone_has_no_name(zones: int, names: list[str]) -> None:
    assert zone_names(_nodes(4, zones)) == names


@pytest.mark.parametrize(
    "zone, struck",
    [("zone-1", ["node-1", "node-4"]), ("zone-2", ["node-2", "node-5"]), ("zone-3", ["node-3"])],
)
def test_nodes_are_dealt_out_in_their_order(zone: str, struck: list[str]) -> None:
    fault = Fault(when="1m", where=zone, what="node-lost", lasting="5m", disk="wiped")
    spread = spread_over_zones([fault], _nodes(5, 3))
    assert [one.where for one in spread] == struck
    assert {(one.when, one.what, one.lasting, one.disk) for one in spread} == {("1m", "node-lost", "5m", "wiped")}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(when="1m", where="node-2", what="node-lost"), id="a node"),
        pytest.param(Fault(when="1m", what="storage-down"), id="the cluster"),
        pytest.param(Fault(when="1m", where="zone-3", what="node-lost"), id="no such zone"),
        pytest.param(Fault(when="1st", where="zone-1 rename", what="error"), id="a site"),
    ],
)
def test_other_faults_stay_as_they_are(fault: Fault) -> None:
    assert spread_over_zones([fault], _nodes(4, 2)) == (fault,)


def test_faults_keep_their_order() -> None:
    first, last = Fault(when="1m", what="storage-down"), Fault(when="3m", what="storage-down")
    middle = Fault(when="2m", where="zone-2", what="node-lost")
    spread = spread_over_zones([first, middle, last], _nodes(4, 2))
    assert [one.where for one in spread] == ["", "node-2", "node-4", ""]
