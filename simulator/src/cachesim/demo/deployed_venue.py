"""A cluster that somebody has: localmodel is tried on it as it is deployed, and is taken away again."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import msgspec

from cachecore.adapters.kube import KubeClient, connect
from cachecore.errors import InvalidInput, LocalModelError
from cachecore.names import SYSTEM_NAMESPACE
from cachecore.ports import ClusterClient
from cachecore.quantity import format_bytes
from cachecore.resources.core import Node, Pod
from cachecore.resources.meta import JsonObject
from cachesim.demo.deployment import AGENT, NAMESPACE, NODE_GROUP, S3, STORAGE_KEY, DemoDeployment
from cachesim.demo.kubectl import Kubectl, KubectlFailed
from cachesim.demo.local_venue import last_report
from cachesim.demo.models import Model
from cachesim.demo.venue import Scene
from cachesim.kserve.predictor import SERVING_CONTAINER, KServeOptions
from cachesim.localcluster import LocalS3

# The folder that the base mounts into the agents.
_GROUP_PATH = "/var/lib/localmodel"
_S3_PORT = 9000
# All models of the story take twice the first one's, in an emptyDir of 2 GiB.
_MOST_MODEL_BYTES = 768 * 2**20
_LOOK_SECONDS = 0.5
_UNSCHEDULABLE = ("NoSchedule", "NoExecute")
_LIST_FILES = (
    "import pathlib, sys; root, *keys = sys.argv[1:]; "
    "print(*(p for p in pathlib.Path(root).rglob('*') if any(k in p.name for k in keys)), sep='\\n')"
)


class NoAgent(LocalModelError):
    """A node of the story has none."""


class DeployedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`nodes`: on so many of the cluster's nodes, at most. `overlay`: what is applied, by Kustomize."""

    kubeconfig: str
    overlay: str
    nodes: int = 2


class DeployedVenue:
    """See `Venue`. Pods, images, webhooks and volumes are the cluster's own; nodes are not lost here."""

    opening = "Install localmodel, an S3, and a stand-in for KServe"
    closing = "Take all of it away"
    loses_nodes = False
    # It must not be over before a pod can be deleted.
    slow_seconds = 12
    kind = "deployed"

    scene: Scene
    client: ClusterClient
    s3: LocalS3
    nodes: tuple[str, ...]

    def __init__(self, options: DeployedOptions) -> None:
        if options.nodes < 1:
            raise InvalidInput(f"--nodes {options.nodes}: the demo needs a node")
        if not Path(options.kubeconfig).is_file():
            raise InvalidInput(f"--kubeconfig {options.kubeconfig}: there is no such file")
        self._options = options
        self._kubectl = Kubectl(options.kubeconfig)
        self._deployment = DemoDeployment(self._kubectl, Path(options.overlay))
        self._connection: KubeClient | None = None
        self._kept = False
        self._killed = ""

    def check_size(self, model_bytes: int | None) -> None:
        if model_bytes is not None and model_bytes > _MOST_MODEL_BYTES:
            raise InvalidInput(
                f"--model-size {format_bytes(model_bytes)}: the S3 of the demo has room for "
                f"{format_bytes(_MOST_MODEL_BYTES)}"
            )

    def check_model(self, model: Model) -> None:
        self.check_size(model.bytes_total)

    def describe(self, model_size: str) -> str:
        return f"the cluster of {self._options.kubeconfig}, a model of {model_size}"

    async def open(self) -> str:
        connection = self._connection = await connect(self._options.kubeconfig, user_agent="localmodel-demo")
        self.client = connection
        try:
            self.nodes = await self._choose_nodes()
            installed = await self._deployment.install()
            serving = (await self._deployment.stand_in())["image"]
            self.scene = self._make_scene(serving)
            port = await self._kubectl.forward(NAMESPACE, f"service/{S3}", _S3_PORT)
            seen = await self._deployment.s3()
            self.s3 = msgspec.structs.replace(seen, endpoint_url=f"http://127.0.0.1:{port}")
            rate = format_bytes(await self._deployment.s3_bytes_per_second())
        except LocalModelError as error:
            try:
                await self.close()
            except LocalModelError as another:
                raise LocalModelError(f"{error}; and taking it away again failed: {another}") from error
            raise
        except BaseException:
            await self.close()
            raise
        return f"{installed}; S3 gives {rate}/s, as over a network; the story is told on {', '.join(self.nodes)}"

    async def close(self) -> str:
        await self._disconnect()
        if self._kept:
            return f"it stays, until: kubectl delete --kustomize {self._options.overlay}"
        return await self._deployment.remove()

    async def _disconnect(self) -> None:
        await self._kubectl.stop()
        if self._connection is not None:
            await self._connection.close()

    async def keep(self) -> None:
        self._kept = True

    async def apply(self, content: JsonObject) -> None:
        given = msgspec.json.encode(content).decode()
        await self._kubectl.run("apply", "--server-side", "--filename=-", given=given)

    async def prepare_namespace(self) -> None:
        """It came with the deployment."""

    async def reader_report(self, pod: Pod) -> dict[str, Any] | None:
        of_it = (pod.name, f"--namespace={pod.namespace}", f"--container={SERVING_CONTAINER}")
        return last_report(await self._kubectl.run("logs", *of_it))

    async def kill_agent(self, node: str) -> str:
        agent = await self._agent(node)
        name: str = agent["metadata"]["name"]
        self._killed = agent["metadata"]["uid"]
        # Without a grace it is killed as soon as its kubelet hears of it.
        force = ("--grace-period=0", "--force", "--wait=false")
        await self._kubectl.run("delete", "pod", name, f"--namespace={SYSTEM_NAMESPACE}", *force)
        return f"pod {name}"

    async def agent_back(self, node: str, timeout_seconds: float) -> None:
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._wait_for_agent(node)
        except TimeoutError:
            raise LocalModelError(f"no agent has come to {node} in the place of the one that was killed") from None

    async def lose_node(self, node: str) -> None:
        raise NotImplementedError("the machines of this cluster are somebody's")

    async def return_node(self, node: str) -> None:
        raise NotImplementedError("the machines of this cluster are somebody's")

    async def left_files(self, keys: list[str]) -> list[str]:
        left = []
        for node in self.nodes:
            agent = (await self._agent(node))["metadata"]["name"]
            of_it = (agent, f"--namespace={SYSTEM_NAMESPACE}", "--container=agent")
            said = await self._kubectl.run("exec", *of_it, "--", "python", "-c", _LIST_FILES, _GROUP_PATH, *keys)
            left += [f"{node}:{path}" for path in said.split()]
        return left

    async def service_logs(self, lines: int) -> dict[str, str]:
        logs = {}
        for pod in await self._kubectl.items("pods", f"--namespace={SYSTEM_NAMESPACE}"):
            name = pod["metadata"]["name"]
            # One that has not started has no log.
            with contextlib.suppress(KubectlFailed):
                logs[name] = await self._kubectl.run("logs", name, f"--namespace={SYSTEM_NAMESPACE}", f"--tail={lines}")
        return logs

    @property
    def hint(self) -> str:
        return f"--keep leaves all of it where it is, in the namespaces {SYSTEM_NAMESPACE} and {NAMESPACE}"

    def _make_scene(self, image: str) -> Scene:
        """With the one image that has all programs of the story's pods."""
        python = ("python", "-m")
        return Scene(
            namespace=NAMESPACE,
            node_group=NODE_GROUP,
            group_nodes=self.nodes,
            group_path=_GROUP_PATH,
            storage_key=STORAGE_KEY,
            service_account="demo",
            images=KServeOptions(
                storage_initializer_image=image,
                storage_initializer_command=(*python, "cachesim.containers.storage_initializer"),
                serving_image=image,
                serving_command=(*python, "cachesim.containers.reader"),
            ),
        )

    async def _choose_nodes(self) -> tuple[str, ...]:
        """Ready ones that take any pod, by name. Raises `InvalidInput` when there is none."""
        found = (await self.client.list(Node)).items
        fit = sorted(node.name for node in found if node.ready and not _is_closed(node))
        if not fit:
            raise InvalidInput(f"none of this cluster's {len(found)} nodes is Ready and takes pods without tolerations")
        return tuple(fit[: self._options.nodes])

    async def _agent(self, node: str) -> dict[str, Any]:
        """The agent's pod on that node. Raises `NoAgent`."""
        of_it = (f"--selector=app.kubernetes.io/name={AGENT}", f"--field-selector=spec.nodeName={node}")
        pods = await self._kubectl.items("pods", f"--namespace={SYSTEM_NAMESPACE}", *of_it)
        living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        if not living:
            raise NoAgent(f"there is no agent on {node}")
        agent: dict[str, Any] = living[0]
        return agent

    async def _wait_for_agent(self, node: str) -> None:
        while True:
            with contextlib.suppress(NoAgent):
                agent = await self._agent(node)
                conditions = {one["type"]: one["status"] for one in agent["status"].get("conditions", ())}
                if agent["metadata"]["uid"] != self._killed and conditions.get("Ready") == "True":
                    return
            await asyncio.sleep(_LOOK_SECONDS)


def _is_closed(node: Node) -> bool:
    return node.spec.unschedulable or any(taint.effect in _UNSCHEDULABLE for taint in node.spec.taints)
