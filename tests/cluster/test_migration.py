"""docs/migrate.md: what KServe's own local models leave on a cluster is taken over, and nothing is downloaded again.

The guide's commands are run as they stand there, but for what says whose namespace and which overlay it is.

What is KServe's is made here as its controller, its Jobs and its pod mutator make it: volumes of the whole folder,
which the cache owns; folders of root, files of user 1000, in the group of the Jobs' fsGroup; a pod that mounts it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cachecore.names import storage_key
from cachecore.store.layout import LEGACY_PATH, published_path
from realcluster import guides
from realcluster.deployment import DEMO, SYSTEM, Deployment
from realcluster.faults import expect, until

NAME, URI = "taken-over", "s3://models/taken-over"
KEY = storage_key(URI)
# Without the stand-in, which makes pods of services as it likes.
TEAM, JOBS = "localmodel-migration", "kserve-localmodel-jobs"
FILES = {"config.json": b"{}", "weights/model.safetensors": bytes(range(256)) * 2**15}
JOB_USER = 1000
UPLOAD = f"""
import boto3
s3 = boto3.client("s3", endpoint_url="http://localhost:9000", region_name="us-east-1")
s3.put_object(Bucket="models", Key="{NAME}/config.json", Body=b"{{}}")
s3.put_object(Bucket="models", Key="{NAME}/weights/model.safetensors", Body=bytes(range(256)) * 2**15)
"""
SERVED = f"/api/v1/namespaces/{DEMO}/services/demo-s3:9000/proxy/_localmodel/s3"
CACHE = f"""
apiVersion: serving.kserve.io/v1alpha1
kind: LocalModelCache
metadata: {{name: {NAME}, finalizers: [localmodel.kserve.io/finalizer]}}
spec: {{sourceModelUri: "{URI}", modelSize: 16Mi, nodeGroups: [workers], storage: {{key: demo-s3}}}}
"""
SERVICE = f"""
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {{name: {NAME}, namespace: {TEAM}}}
spec: {{predictor: {{model: {{modelFormat: {{name: huggingface}}, storageUri: "{URI}"}}}}}}
"""


def volume_and_claim(volume: str, namespace: str, uid: str) -> list[dict[str, Any]]:
    """As KServe makes them: the path is the whole folder, whatever is in it."""
    owner = {"apiVersion": "serving.kserve.io/v1alpha1", "kind": "LocalModelCache", "name": NAME, "uid": uid}
    owners = [{**owner, "controller": True, "blockOwnerDeletion": True}]
    common = {"accessModes": ["ReadOnlyMany"], "storageClassName": "local-models", "volumeMode": "Filesystem"}
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}]
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume, "ownerReferences": owners},
            "spec": {
                **common,
                "capacity": {"storage": "2Gi"},
                "persistentVolumeReclaimPolicy": "Delete",
                "local": {"path": "/var/lib/localmodel"},
                "claimRef": {"name": f"{NAME}-workers", "namespace": namespace},
                "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": f"{NAME}-workers", "namespace": namespace, "ownerReferences": owners},
            "spec": {**common, "resources": {"requests": {"storage": "2Gi"}}, "volumeName": volume},
        },
    ]


def pod(name: str, annotations: dict[str, str]) -> dict[str, Any]:
    """As KServe's mutator leaves it."""
    mount = {"name": "kserve-pvc-source", "mountPath": "/mnt/models", "subPath": f"models/{KEY}/", "readOnly": True}
    container = {
        "name": "kserve-container",
        "image": "localmodel/simulator:0.1.0",
        "command": ["sleep", "infinity"],
        "volumeMounts": [mount],
    }
    volume = {"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": f"{NAME}-workers"}}
    labels = {"serving.kserve.io/inferenceservice": NAME}
    metadata = {"name": name, "namespace": TEAM, "annotations": annotations, "labels": labels}
    spec = {"containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def leave_copy(disk: Path) -> None:
    """What a Job and the kubelet leave, who made the folder for it: see docs/migrate.md."""
    copy = disk / LEGACY_PATH / KEY
    for name, content in FILES.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(content)
        os.chown(copy / name, JOB_USER, JOB_USER)
    os.chown(copy / "weights", JOB_USER, JOB_USER)
    for folder in (copy.parent, copy):
        os.chown(folder, 0, JOB_USER)
        folder.chmod(0o2775)


class Migration:
    """`serve` is before localmodel, `take_over` starts it."""

    def __init__(self, deployed: Deployment, folder: Path) -> None:
        self._deployed = deployed
        self._folder = folder
        scripts = guides.scripts("migrate.md")
        self.look, self.copy_credentials, self.see_adopted, self.replace_pods, self.tidy_up = scripts
        self.kubectl = deployed.kubectl
        self.disks = [node.files.directory / "disk" for node in deployed.cluster.nodes.values()]

    def apply(self, *objects: Any) -> None:
        self.kubectl("apply", "--filename=-", given=yaml.safe_dump_all(objects))

    def type(self, script: str) -> str:
        """A block of the guide's commands. What it installs is there already, and must not be written over."""
        ours = script.replace("team-a", TEAM).replace("inferenceservice=assistant", f"inferenceservice={NAME}")
        ours = ours.replace("create namespace localmodel-system", f"get namespace {SYSTEM}")
        return guides.run(
            self._deployed, ours.replace("namespace: localmodel-system", f"namespace: {TEAM}"), self._folder
        )

    def rolled_out(self, workload: str) -> None:
        self.kubectl("-n", SYSTEM, "rollout", "status", workload, "--timeout=90s")

    def managers(self, count: int) -> None:
        self.kubectl("-n", SYSTEM, "scale", "deployment/localmodel-manager", f"--replicas={count}")
        if count:
            self.rolled_out("deployment/localmodel-manager")
        else:
            managers = ("pod", "--selector=app.kubernetes.io/name=localmodel-manager")
            self.kubectl("-n", SYSTEM, "wait", "--for=delete", *managers, "--timeout=60s")

    def serve(self) -> None:
        self.kubectl("-n", DEMO, "exec", "deployment/demo-s3", "--", "python", "-c", UPLOAD)
        self.managers(0)
        self.apply(*yaml.safe_load_all(CACHE))
        uid = self.kubectl("get", f"localmodelcache/{NAME}", "--output=jsonpath={.metadata.uid}")
        for namespace, volume in ((JOBS, "download"), (TEAM, TEAM)):
            self.kubectl("create", "namespace", namespace)
            self.apply(*volume_and_claim(f"{NAME}-workers-{volume}", namespace, uid))
        self.apply(*yaml.safe_load_all(SERVICE))
        self.kubectl("-n", JOBS, "create", "secret", "generic", "storage-config", "--from-literal=demo-s3={}")
        for disk in self.disks:
            leave_copy(disk)
        # The webhook is here already, and was not then.
        self.apply(pod("of-before", {"serving.kserve.io/disable-localmodel": "true"}))
        self.kubectl("-n", TEAM, "wait", "--for=condition=Ready", "pod/of-before", "--timeout=60s")

    def take_over(self) -> None:
        # Their first container gives them the folders, as at an installation.
        self.kubectl("-n", SYSTEM, "delete", "pods", "--selector=app.kubernetes.io/name=localmodel-agent")
        self.rolled_out("daemonset/localmodel-agent")
        self.managers(2)
        self.kubectl("wait", "--for=condition=Ready", f"localmodelcache/{NAME}", "--timeout=90s")

    def bytes_served(self) -> int:
        return int(json.loads(self.kubectl("get", "--raw", SERVED))["bytes_served"])

    def read(self, name: str) -> str:
        return self.kubectl("-n", TEAM, "exec", name, "--", "sha256sum", "/mnt/models/weights/model.safetensors")

    def clean_up(self) -> None:
        self.managers(2)
        mine = ("pod/of-before", "pod/of-after", f"inferenceservice/{NAME}")
        self.kubectl("-n", TEAM, "delete", *mine, "--ignore-not-found", "--timeout=60s")
        self.kubectl("delete", f"localmodelcache/{NAME}", "--ignore-not-found", "--timeout=60s")
        left = (f"namespace/{TEAM}", f"namespace/{JOBS}", f"persistentvolume/{NAME}-workers-download")
        self.kubectl("delete", *left, "--ignore-not-found")


@pytest.fixture
def migration(deployed: Deployment, tmp_path: Path) -> Iterator[Migration]:
    made = Migration(deployed, tmp_path)
    try:
        yield made
    finally:
        made.clean_up()


def test_copies_are_taken_over_and_services_move_to_the_new_volumes(migration: Migration) -> None:
    migration.serve()
    assert "workers\t/var/lib/localmodel" in migration.type(migration.look)
    assert "secret/storage-config created" in migration.type(migration.copy_credentials)
    served, seen_before = migration.bytes_served(), migration.read("of-before")
    migration.take_over()
    assert migration.bytes_served() == served
    for disk in migration.disks:
        assert (disk / published_path(KEY) / "weights" / "model.safetensors").stat().st_size == 2**23
        assert not (disk / LEGACY_PATH / KEY).exists()
    assert f"{NAME}: took over the copy that was found in" in migration.type(migration.see_adopted)
    # Renamed under it, and still there.
    assert migration.read("of-before") == seen_before
    claim = ("-n", TEAM, "get", f"persistentvolumeclaim/{NAME}-workers", "--output=jsonpath={.metadata.uid}")
    old = migration.kubectl(*claim)
    assert 'pod "of-before" deleted' in migration.type(migration.replace_pods)
    migration.apply(pod("of-after", {}))
    until(lambda: expect(migration.kubectl(*claim, "--ignore-not-found") not in ("", old), "no new claim"))
    migration.kubectl("-n", TEAM, "wait", "--for=condition=Ready", "pod/of-after", "--timeout=60s")
    assert migration.read("of-after") == seen_before
    volume = f"persistentvolume/{NAME}-workers-{TEAM}"
    path = migration.kubectl("get", volume, "--output=jsonpath={.spec.local.path}")
    assert path == f"/var/lib/localmodel/{KEY}"
    assert migration.bytes_served() == served
    assert f'persistentvolume "{NAME}-workers-download" deleted' in migration.type(migration.tidy_up)
    assert migration.read("of-after") == seen_before
