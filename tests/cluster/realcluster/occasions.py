"""What happens on a cluster now and then, so that each right that localmodel's parts have is used once.

All of it is in a namespace of its own, and gone afterwards.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import time
from typing import Any

from cachecore.errors import ApiError
from cachecore.names import storage_key
from cachecore.resources import serving
from cachecore.store.layout import published_path
from cachesim.apiserver.resources import ResourceType
from cachewebhook.certificates import Certificates, renewed
from realcluster import audit
from realcluster.deployment import SYSTEM, Deployment
from realcluster.faults import expect, until

NAMESPACE = "localmodel-occasions"
CACHE = "localmodelnamespacecache/occasion"
KEY = storage_key("s3://models/occasion")
VOLUME, CLAIM = f"occasion-workers-{NAMESPACE}", "occasion-workers"
NOBODY = "localmodelnode/nobody"
TLS = "secret/localmodel-webhook-tls"
_DAY_SECONDS = 86400.0
# As the webhook keeps them in its secret.
_FIELDS = {"certificate": "tls.crt", "private_key": "tls.key", "authority": "ca.crt", "authority_key": "ca.key"}
_MERGE = "application/merge-patch+json"
_TYPE = serving.LocalModelNode.resource_type
LOCAL_NODE = ResourceType(
    group=_TYPE.group, version=_TYPE.version, kind=_TYPE.kind, plural=_TYPE.plural, namespaced=False
)
_COPY = """
import boto3
s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:9000", region_name="us-east-1")
s3.put_object(Bucket="models", Key="occasion/model.safetensors", Body=bytes(2**20))
"""
# A volume and a claim that somebody else has made under our names; and what a service account leads to.
_THINGS = """
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: localmodel-credentials, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: localmodel-credentials}}
subjects: [{{kind: ServiceAccount, name: localmodel-agent, namespace: localmodel-system}}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: downloads, namespace: {namespace}}}
secrets: [{{name: store}}]
---
apiVersion: v1
kind: Secret
metadata:
  name: store
  namespace: {namespace}
  annotations:
    serving.kserve.io/s3-endpoint: demo-s3.localmodel-demo.svc:9000
    serving.kserve.io/s3-usehttps: "0"
    serving.kserve.io/s3-region: us-east-1
stringData: {{AWS_ACCESS_KEY_ID: DEMO, AWS_SECRET_ACCESS_KEY: nobody-s-secret, AWS_CA_BUNDLE_CONFIGMAP: authorities}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: authorities, namespace: {namespace}}}
data: {{cabundle.crt: {authority}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {volume}}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [ReadOnlyMany]
  storageClassName: somebody-else-s
  hostPath: {{path: /srv/somebody-else-s}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {claim}, namespace: {namespace}}}
spec:
  accessModes: [ReadOnlyMany]
  storageClassName: somebody-else-s
  resources: {{requests: {{storage: 1Gi}}}}
---
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {{name: occasion, namespace: {namespace}}}
spec: {{predictor: {{model: {{modelFormat: {{name: huggingface}}, storageUri: "s3://models/occasion"}}}}}}
"""
_CACHES = """
apiVersion: serving.kserve.io/v1alpha1
kind: LocalModelNamespaceCache
metadata: {{name: occasion, namespace: {namespace}}}
spec: {{sourceModelUri: "s3://models/occasion", modelSize: 2Mi, nodeGroups: [workers], serviceAccountName: downloads}}
---
apiVersion: serving.kserve.io/v1alpha1
kind: LocalModelNode
metadata: {{name: nobody}}
spec: {{localModels: []}}
"""


class Occasions:
    """`bring` makes all of them happen, one after the other, and returns when what they ask for has been done."""

    def __init__(self, deployed: Deployment) -> None:
        self._deployed = deployed
        self.kubectl = deployed.kubectl

    def bring(self) -> None:
        self.kubectl("-n", "localmodel-demo", "exec", "deployment/demo-s3", "--", "python", "-c", _COPY)
        words = {"namespace": NAMESPACE, "volume": VOLUME, "claim": CLAIM}
        authority = json.dumps(self._certificates().authority.decode())
        self.kubectl("apply", "--filename=-", given=_THINGS.format(**words, authority=authority))
        self.kubectl("apply", "--filename=-", given=_CACHES.format(**words))
        self._certificate_gets_old()
        self._names_are_free_again()
        self._cache_is_ready_again()
        self._somebody_writes_at_once()
        self.kubectl("wait", NOBODY, "--for=delete", "--timeout=30s")

    def end(self) -> None:
        mine = f"--namespace={NAMESPACE}"
        for gone in (NOBODY, f"{mine} inferenceservice/occasion", f"{mine} {CACHE}", f"namespace/{NAMESPACE}"):
            self.kubectl("delete", *gone.split(), "--ignore-not-found", "--timeout=60s")
        self.kubectl("delete", f"persistentvolume/{VOLUME}", "--ignore-not-found")

    def certificate(self) -> str:
        return self.kubectl("-n", SYSTEM, "get", TLS, "--output=jsonpath={.data.tls\\.crt}")

    def _certificates(self) -> Certificates:
        held = json.loads(self.kubectl("-n", SYSTEM, "get", TLS, "--output=json"))["data"]
        return Certificates(**{field: base64.b64decode(held[entry]) for field, entry in _FIELDS.items()})

    def _certificate_gets_old(self) -> None:
        """It ends in two weeks; a replica that starts looks at it at once."""
        held = self._certificates()
        names = (f"localmodel-webhook.{SYSTEM}.svc", f"localmodel-webhook.{SYSTEM}.svc.cluster.local", "localhost")
        old = renewed(held, (*names, "127.0.0.1"), now=time.time() - (365 - 14) * _DAY_SECONDS)
        data = {entry: base64.b64encode(getattr(old, field)).decode() for field, entry in _FIELDS.items()}
        self.kubectl("-n", SYSTEM, "patch", TLS, "--type=merge", f"--patch={json.dumps({'data': data})}")
        replicas = ("pods", "--selector=app.kubernetes.io/name=localmodel-webhook", "--output=name")
        one = self.kubectl("-n", SYSTEM, "get", *replicas).splitlines()[0]
        self.kubectl("-n", SYSTEM, "delete", one, "--wait=false")
        until(lambda: expect(self.certificate() != data["tls.crt"], "the certificate is as old as it was"))

    def _names_are_free_again(self) -> None:
        until(self._names_are_taken)
        self.kubectl("-n", NAMESPACE, "delete", f"persistentvolumeclaim/{CLAIM}", "--timeout=30s")
        self.kubectl("delete", f"persistentvolume/{VOLUME}", "--timeout=30s")
        self.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", CACHE, "--timeout=60s")

    def _names_are_taken(self) -> None:
        degraded = self._condition("Degraded")
        expect(degraded.get("reason") == "VolumeProblem", "the names are not found to be taken")
        expect(" is taken by an object of something else" in degraded["message"], degraded["message"])
        for kind in ("persistentvolumes", "persistentvolumeclaims"):
            self._used("localmodel-manager", "get", kind)

    def _cache_is_ready_again(self) -> None:
        """A node gives its copy back and downloads it again: an event of an agent and one of a manager come again."""
        self._ask_for(1)
        until(lambda: expect(self._copies_on_disks() == 1, "no node has given its copy back"))
        self._ask_for(None)
        until(lambda: expect(self._copies_on_disks() == 2, "no second copy has come"))
        for account in ("localmodel-agent", "localmodel-manager"):
            until(functools.partial(self._used, account, "patch", "events"))

    def _ask_for(self, copies: int | None) -> None:
        body = json.dumps({"spec": {"copies": copies}})
        self.kubectl("-n", NAMESPACE, "patch", CACHE, "--type=merge", f"--patch={body}")

    def _copies_on_disks(self) -> int:
        paths = [node.files.directory / "disk" / published_path(KEY) for node in self._deployed.cluster.nodes.values()]
        return sum(path.exists() for path in paths)

    def _somebody_writes_at_once(self) -> None:
        """What the manager and an agent have just read of a LocalModelNode is old when they write it."""
        name = next(iter(self._deployed.cluster.nodes))
        until(lambda: self._write_often(name))

    def _write_often(self, name: str) -> None:
        async def write() -> None:
            for turn in range(100):
                body = {"spec": {"storage": {"maxConcurrentDownloads": 3 + turn % 2}}}
                with contextlib.suppress(ApiError):
                    await self._deployed.cluster.plane.verbs.patch(LOCAL_NODE, name, _MERGE, body)

        self._deployed.cluster.run(write())
        for account in ("localmodel-manager", "localmodel-agent"):
            self._used(account, "get", "localmodelnodes")

    def _condition(self, kind: str) -> dict[str, Any]:
        path = f"--output=jsonpath={{.status.conditions[?(@.type=='{kind}')]}}"
        said = self.kubectl("-n", NAMESPACE, "get", CACHE, path)
        return dict(json.loads(said)) if said else {}

    def _used(self, account: str, verb: str, kind: str) -> None:
        expect((verb, kind) in audit.used(self._deployed)[account], f"{account} has no occasion to {verb} {kind}")
