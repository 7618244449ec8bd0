"""The end of a model: nothing of it stays, in the cluster or on the disks of its nodes."""

from __future__ import annotations

from realcluster.deployment import Deployment


def test_everything_goes_when_its_owner_deletes_it(ended: Deployment) -> None:
    left = ended.kubectl("get", "persistentvolumes,persistentvolumeclaims", "--all-namespaces", "--output=name")
    assert left == ""
    models = [
        ended.cluster.run(node.run("find", "/var/lib/localmodel", "-name", "*.safetensors"))
        for node in ended.cluster.nodes.values()
    ]
    assert models == ["", ""]
