"""localmodel on a cluster, as deploy/overlays/demo has it."""

from __future__ import annotations

import re
import time
from pathlib import Path

from realcluster.cluster import RealCluster

OVERLAY = Path(__file__).resolve().parents[3] / "deploy" / "overlays" / "demo"
SYSTEM, DEMO = "localmodel-system", "localmodel-demo"
_WORKLOADS = (
    (DEMO, "deployment/demo-s3"),
    (DEMO, "deployment/kserve-stand-in"),
    (SYSTEM, "daemonset/localmodel-agent"),
    (SYSTEM, "deployment/localmodel-manager"),
    (SYSTEM, "deployment/localmodel-webhook"),
)


class Deployment:
    """localmodel on the cluster, from deploy/overlays/demo; the story's objects are there.

    `began` is when it was begun to install, in Unix seconds.
    """

    began: float

    def __init__(self, cluster: RealCluster) -> None:
        self.cluster = cluster

    def kubectl(self, *arguments: str, given: str = "") -> str:
        return self.cluster.run(self.cluster.kubectl(*arguments, given=given)).strip()

    def install(self) -> None:
        self.began = time.time()
        self.kubectl("apply", "--server-side", "-k", str(OVERLAY))
        for namespace, name in _WORKLOADS:
            self.kubectl("-n", namespace, "rollout", "status", name, "--timeout=90s")
        self.kubectl("apply", "-f", str(OVERLAY / "story.yaml"))
        self.kubectl("wait", "--for=condition=Ready", "localmodelcache/assistant", "--timeout=90s")

    def uninstall_story(self) -> None:
        self.kubectl("-n", DEMO, "delete", "inferenceservice/assistant", "--timeout=60s")
        self.kubectl("delete", "localmodelcache/assistant", "--timeout=60s")

    @property
    def digest(self) -> str:
        """Of the model, as it was when it was made: the S3 says it in its log."""
        said = re.search(r"digest (blake3:\w+)", self.kubectl("-n", DEMO, "logs", "deployment/demo-s3"))
        assert said is not None
        return said.group(1)
