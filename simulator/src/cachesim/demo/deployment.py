"""localmodel on a cluster for the time of a story: from deploy/overlays/demo, or what is there already."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from cachecore.errors import InvalidInput
from cachecore.names import INFERENCE_SERVICE_LABEL, STORAGE_CONFIG_SECRET, SYSTEM_NAMESPACE
from cachecore.resources.meta import JsonObject
from cachesim.demo.kubectl import Kubectl, KubectlFailed
from cachesim.demo.s3_pod import build_parser
from cachesim.localcluster.objects import storage_entry
from cachesim.localcluster.s3 import LocalS3

NAMESPACE = "localmodel-demo"
NODE_GROUP = "localmodel-demo"
S3 = STORAGE_KEY = "demo-s3"
AGENT = "localmodel-agent"
_SERVICES = (f"daemonset/{AGENT}", "deployment/localmodel-manager", "deployment/localmodel-webhook")
_PARTS = (f"deployment/{S3}", "deployment/kserve-stand-in")
_PART_OF_LABEL = "app.kubernetes.io/part-of"
# On the demo's namespace: localmodel itself came with the demo, and goes with it.
_CAME_ALONG = "localmodel.kserve.io/came-with-demo"
KSERVE = "inferenceservices.serving.kserve.io"
# The label app.kubernetes.io/part-of of the definitions that come with the demo.
PART_OF = "localmodel-demo"
_CACHES, _GROUPS = "localmodelcaches.serving.kserve.io", "localmodelnodegroups.serving.kserve.io"
# Images may have to be pulled.
_ROLLOUT = "--timeout=300s"
_REMOVAL_SECONDS = 120
_NO_FINALIZERS = '--patch={"metadata":{"finalizers":null}}'


class DemoDeployment:
    """`overlay` is a folder for Kustomize like deploy/overlays/demo, and has a folder `parts` like that."""

    def __init__(self, kubectl: Kubectl, overlay: Path) -> None:
        if not (overlay / "kustomization.yaml").is_file():
            raise InvalidInput(
                f"--overlay {overlay}: there is no kustomization.yaml; run this in a checkout of localmodel, "
                "or name a folder like its deploy/overlays/demo"
            )
        self._kubectl = kubectl
        self._overlay = overlay
        self._brought = self._came_along = False

    async def install(self) -> str:
        """Everything runs when this returns; one line on what is there. Raises `InvalidInput`, `KubectlFailed`."""
        await self._refuse_others()
        await self._wait_for_removals()
        namespace = await self._kubectl.read("namespace", NAMESPACE)
        # A demo that was killed has left its mark.
        marked = namespace is not None and _CAME_ALONG in namespace["metadata"].get("labels", {})
        self._came_along = marked or not await self.installed()
        wanted = self._overlay if self._came_along else self._parts()
        self._brought = True
        await self._mark_namespace()
        await self._kubectl.run("apply", "--server-side", "--kustomize", str(wanted))
        if not self._came_along:
            await self._add_storage_entry()
        for namespace_, workloads in ((NAMESPACE, _PARTS), (SYSTEM_NAMESPACE, _SERVICES)):
            for workload in workloads:
                await self._roll_out(namespace_, workload)
        return "localmodel was installed" if self._came_along else "localmodel is here already, and stays as it is"

    async def remove(self) -> str:
        """Take away all that `install` and the story brought, and say what may be left. Raises `KubectlFailed`."""
        if not self._brought:
            return "nothing was brought"
        left = await self._remove_caches()
        removal = ("--ignore-not-found", f"--timeout={_REMOVAL_SECONDS}s", "--kustomize")
        if self._came_along:
            await self._kubectl.run("delete", *removal, str(self._overlay))
        else:
            await self._remove_storage_entry()
            await self._kubectl.run("delete", *removal, str(self._parts()))
        stays = "nothing of it is left" if self._came_along else "localmodel stays, and nothing else"
        return f"{left}{stays}"

    async def installed(self) -> bool:
        return await self._kubectl.read("daemonset", AGENT, f"--namespace={SYSTEM_NAMESPACE}") is not None

    async def stand_in(self) -> dict[str, Any]:
        """The container that stands in for KServe: it names the images of pods."""
        return await self._container("kserve-stand-in")

    async def s3(self) -> LocalS3:
        """As pods reach it."""
        secret = await self._kubectl.read("secret", S3, f"--namespace={NAMESPACE}")
        annotations, data = secret["metadata"]["annotations"], secret["data"]
        return LocalS3(
            endpoint_url=f"http://{annotations['serving.kserve.io/s3-endpoint']}",
            access_key=base64.b64decode(data["AWS_ACCESS_KEY_ID"]).decode(),
            secret_key=base64.b64decode(data["AWS_SECRET_ACCESS_KEY"]).decode(),
            region=annotations["serving.kserve.io/s3-region"],
        )

    async def s3_bytes_per_second(self) -> int:
        arguments = build_parser().parse_args((await self._container(S3))["args"])
        return int(arguments.mebibytes_per_second) * 2**20

    async def _container(self, deployment: str) -> dict[str, Any]:
        found = await self._kubectl.read("deployment", deployment, f"--namespace={NAMESPACE}")
        container: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
        return container

    async def _refuse_others(self) -> None:
        """The story brings KServe's definitions, and fills the disks of nodes: not where that is somebody's."""
        kserve = await self._kubectl.read("customresourcedefinition", KSERVE)
        if kserve is not None and kserve["metadata"].get("labels", {}).get(_PART_OF_LABEL) != PART_OF:
            raise InvalidInput(
                "this cluster has KServe, whose definitions the demo would replace: docs/install.md tells how to try "
                "localmodel there"
            )
        if await self._kubectl.read("customresourcedefinition", _GROUPS) is None:
            return
        groups = [group["metadata"]["name"] for group in await self._kubectl.items(_GROUPS)]
        if others := [name for name in groups if name != NODE_GROUP]:
            raise InvalidInput(
                f"this cluster keeps models (node groups: {', '.join(others)}), and the demo would fill their disks: "
                "run it before there are any"
            )

    async def _wait_for_removals(self) -> None:
        """Of an earlier demo."""
        for name in (NAMESPACE, SYSTEM_NAMESPACE):
            found = await self._kubectl.read("namespace", name)
            if found is not None and "deletionTimestamp" in found["metadata"]:
                await self._kubectl.run("wait", "--for=delete", f"namespace/{name}", f"--timeout={_REMOVAL_SECONDS}s")

    async def _mark_namespace(self) -> None:
        labels = {_CAME_ALONG: "true"} if self._came_along else {}
        await self._apply({"kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})

    async def _apply(self, content: JsonObject) -> None:
        """Under a name of its own: the manifests' next apply leaves it alone."""
        given = json.dumps({"apiVersion": "v1", **content})
        manager = "--field-manager=localmodel-demo"
        await self._kubectl.run("apply", "--server-side", manager, "--filename=-", given=given)

    async def _roll_out(self, namespace: str, workload: str) -> None:
        try:
            await self._kubectl.run("rollout", "status", workload, f"--namespace={namespace}", _ROLLOUT)
        except KubectlFailed as error:
            raise KubectlFailed(f"{workload} does not come up: {await self._why(namespace) or error}") from error

    async def _why(self, namespace: str) -> str:
        """What the first pod that does not start says."""
        for pod in await self._kubectl.items("pods", f"--namespace={namespace}"):
            status = pod["status"]
            for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
                waiting = one.get("state", {}).get("waiting", {})
                if waiting.get("message"):
                    return f"pod {pod['metadata']['name']}: {waiting['reason']}: {waiting['message']}"
        return ""

    def _parts(self) -> Path:
        parts = self._overlay / "parts"
        if not parts.is_dir():
            raise InvalidInput(f"localmodel is here already, and {self._overlay} has no folder `parts` to add to it")
        return parts

    async def _add_storage_entry(self) -> None:
        """Beside the entries that are somebody's, which an apply of this one leaves alone."""
        entry = storage_entry(await self.s3())
        metadata = {"name": STORAGE_CONFIG_SECRET, "namespace": SYSTEM_NAMESPACE}
        await self._apply({"kind": "Secret", "metadata": metadata, "stringData": {STORAGE_KEY: json.dumps(entry)}})

    async def _remove_storage_entry(self) -> None:
        of_it = ("secret", STORAGE_CONFIG_SECRET, f"--namespace={SYSTEM_NAMESPACE}")
        secret = await self._kubectl.read(*of_it)
        if secret is None:
            return
        if set(secret.get("data", {})) <= {STORAGE_KEY}:
            await self._kubectl.run("delete", *of_it)
            return
        await self._kubectl.run("patch", *of_it, "--type=merge", f'--patch={{"data":{{"{STORAGE_KEY}":null}}}}')

    async def _remove_caches(self) -> str:
        """While there is a manager that clears the disks; where it does not, they are let go, and that is said."""
        timeout = f"--timeout={_REMOVAL_SECONDS}s"
        if await self._kubectl.read("customresourcedefinition", _CACHES) is None:
            return ""
        namespaced = (f"--namespace={NAMESPACE}", timeout)
        await self._kubectl.run("delete", "inferenceservices", "--all", *namespaced)
        await self._kubectl.run("delete", "pods", f"--selector={INFERENCE_SERVICE_LABEL}", *namespaced)
        caches = await self._kubectl.items(_CACHES)
        names = [one["metadata"]["name"] for one in caches if NODE_GROUP in one["spec"].get("nodeGroups", ())]
        left = ""
        if names:
            try:
                await self._kubectl.run("delete", _CACHES, *names, timeout)
            except KubectlFailed:
                for name in names:
                    await self._kubectl.run("patch", _CACHES, name, "--type=merge", _NO_FINALIZERS)
                left = "the manager did not clear the disks, so models may be left in their folder; "
        await self._kubectl.run("delete", _GROUPS, NODE_GROUP, "--ignore-not-found", timeout)
        return left
