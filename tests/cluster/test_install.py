"""docs/install.md, as its reader does it: its files are written, its commands run, in its order.

The overlay of the guide is deploy/overlays/demo here: KServe and a registry are what this machine lacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from realcluster import guides
from realcluster.deployment import DEMO, OVERLAY, Deployment

GUIDE = "install.md"
THEIR_OVERLAY = "-k deploy/overlays/mine"
# The manager of the fields is the one of the deployment that is there.
APPLY, OUR_OVERLAY = "kubectl apply", f"--server-side -k {OVERLAY}"
REMOVED = (
    "inferenceservice/llama -n localmodel-demo",
    "localmodelcache/llama",
    "localmodelnodegroup/gpu",
)
UPLOAD = """
import boto3
s3 = boto3.client("s3", endpoint_url="http://localhost:9000", region_name="us-east-1")
s3.put_object(Bucket="models", Key="llama/config.json", Body=b"{}")
s3.put_object(Bucket="models", Key="llama/model.safetensors", Body=bytes(range(256)) * 65536)
"""


@pytest.fixture
def written(deployed: Deployment, tmp_path: Path) -> Iterator[Path]:
    """A folder with the guide's files; what they make is gone afterwards, whatever happens."""
    for name, content in guides.files(GUIDE).items():
        if "/" not in name:
            (tmp_path / name).write_text(content)
    deployed.kubectl("-n", DEMO, "exec", "deployment/demo-s3", "--", "python", "-c", UPLOAD)
    yield tmp_path
    for named in REMOVED:
        deployed.kubectl("delete", "--ignore-not-found", *named.split(), "--timeout=60s")


def test_the_guide_leads_from_nothing_to_a_cached_model_and_back(deployed: Deployment, written: Path) -> None:
    said = ""
    for script in guides.scripts(GUIDE):
        ours = script.replace(f"{APPLY} {THEIR_OVERLAY}", f"{APPLY} {OUR_OVERLAY}")
        assert THEIR_OVERLAY not in ours
        said += guides.run(deployed, ours, written)
    assert "localmodel-guard\tllama-gpu" in said
    assert 'localmodel_downloads_total{result="succeeded"}' in said
    assert 'localmodelcache.serving.kserve.io "llama" deleted' in said


def test_what_the_removal_would_delete_is_there(deployed: Deployment) -> None:
    """The guide's last command, without its effect: the other tests need what it takes away."""
    said = deployed.kubectl("delete", "-k", str(OVERLAY), "--dry-run=server")
    for deleted in ('namespace "localmodel-system"', '"localmodelcaches.serving.kserve.io"', '"localmodel-agent"'):
        assert f"{deleted} deleted (server dry run)" in said
