"""How long a pod takes from its creation to Ready on real nodes: plain, with a cached model, with one that has to come.

python tools/images.py --output /tmp/images
PYTHONPATH=tests/cluster .venv/bin/python benchmarks/pod_start.py --images /tmp/images [--runs 20] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cachecore.errors import DeadlineExceeded, InvalidInput, LocalModelError
from cachecore.resources.meta import JsonObject
from cachesim.apiserver.builtin import POD
from cachesim.apiserver.http.raw_client import HttpWatch
from cachesim.apiserver.options import DeleteOptions, WriteOptions
from podstart.pods import COLD_URI, WARM_URI, download_pod, model_pod, plain_pod
from podstart.tasks import TaskWatch
from realcluster.cluster import ClusterOptions, RealCluster
from realcluster.deployment import DEMO, Deployment
from realcluster.pods import put_objects
from realcluster.requirements import missing

TARGET_MILLISECONDS = 100
NODE = "node-a"
COLD_MEBIBYTES = 64
KINDS = ("plain", "cached", "waiting", "download")
_POD_SECONDS = 60.0
# Between two pods, for what the last one's end still costs.
_REST_SECONDS = 1.0
# How often a kubelet looks at its containers.
_LOOK_SECONDS = 1.0
_COLD = "cold"
_COLD_CACHE = f"""\
apiVersion: serving.kserve.io/v1alpha1
kind: LocalModelCache
metadata: {{name: {_COLD}}}
spec:
  sourceModelUri: {COLD_URI}
  modelSize: {COLD_MEBIBYTES}Mi
  nodeGroups: [workers]
  storage: {{key: demo-s3}}
"""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from the call that creates the pod until it was created, scheduled and Ready, by a watch, and until its
    init container started and ended and its server started, as containerd tells.

    `work` is `ready` without the time from the end of the init container to the server's start: in that the kubelet
    waits for its next look at the containers, of which it takes one each second, and nobody works but in its end.
    """

    kind: str
    created: float
    scheduled: float
    init_started: float
    init_ended: float
    server_started: float
    ready: float

    @property
    def work(self) -> float:
        return self.ready - (self.server_started - self.init_ended)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Medians, and a cached pod's beside a plain one's: their ratio and their differences."""

    schema: str = "localmodel.pod_start/v1"
    ready_seconds: dict[str, float]
    work_seconds: dict[str, float]
    ratio: float
    difference_milliseconds: float
    work_difference_milliseconds: float
    starts: tuple[Start, ...]


class Starter:
    """Starts one pod after the other on the node, and looks at each through one watch."""

    def __init__(self, deployment: Deployment, tasks: TaskWatch) -> None:
        self._cluster = deployment.cluster
        self._verbs = deployment.cluster.plane.verbs
        self._tasks = tasks
        self._count = 0
        # When the kubelet looked at its containers, or a constant time later.
        self._looked = 0.0

    async def measure(self, kind: str, phase: float) -> Start:
        """The start of a pod of that kind, which is gone when this returns. Raises `DeadlineExceeded`.

        `phase`, from 0 to 1, is how far the kubelet is between two looks at its containers when the pod is created.
        """
        self._count += 1
        pod = self._pod(kind, f"{kind}-{self._count}")
        rested = time.monotonic() + _REST_SECONDS
        await asyncio.sleep(_REST_SECONDS + (self._looked + phase * _LOOK_SECONDS - rested) % _LOOK_SECONDS)
        if kind != "waiting":
            return await self._start(kind, pod)
        await self._cluster.kubectl("apply", "--filename=-", given=_COLD_CACHE)
        try:
            await self._admitted(pod)
            return await self._start(kind, pod)
        finally:
            await self._cluster.kubectl("delete", f"localmodelcache/{_COLD}", "--timeout=60s")

    def _pod(self, kind: str, name: str) -> JsonObject:
        if kind == "plain":
            return plain_pod(name, NODE)
        if kind == "download":
            return download_pod(name, NODE)
        return model_pod(name, WARM_URI if kind == "cached" else COLD_URI, NODE)

    async def _admitted(self, pod: JsonObject) -> None:
        """Until the webhook knows the cache, which takes the time of one watch event."""
        deadline = time.monotonic() + _POD_SECONDS
        options = WriteOptions(dry_run=True)
        while True:
            made = (await self._verbs.create(POD, pod, namespace=DEMO, options=options)).object
            if made["spec"]["initContainers"][0]["name"] != "storage-initializer":
                return
            if time.monotonic() > deadline:
                raise DeadlineExceeded("the webhook leaves the pod alone")
            await asyncio.sleep(0.02)

    async def _start(self, kind: str, pod: JsonObject) -> Start:
        name = pod["metadata"]["name"]
        version = (await self._verbs.list(POD, namespace=DEMO))["metadata"]["resourceVersion"]
        watch = await self._verbs.watch(POD, namespace=DEMO, resource_version=version)
        seen: dict[str, float] = {}
        try:
            async with asyncio.timeout(_POD_SECONDS):
                began, began_at = time.monotonic(), time.time()
                await self._verbs.create(POD, pod, namespace=DEMO)
                seen["created"] = time.monotonic() - began
                found: JsonObject = {}
                while "ready" not in seen:
                    found = await _next(watch, name)
                    now = time.monotonic() - began
                    seen.update({phase: now for phase in phases(found) if phase not in seen})
                seen |= await self._container_times(found, began_at)
                self._looked = began + seen["server_started"]
                await self._verbs.delete(POD, name, namespace=DEMO, options=DeleteOptions(grace_period_seconds=1))
                await _next(watch, name, kind="DELETED")
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"pod {name}: after {_POD_SECONDS:.0f} s it came as far as {sorted(seen)}"
            ) from error
        finally:
            await watch.close()
        return Start(kind=kind, **{phase: round(seconds, 4) for phase, seconds in seen.items()})

    async def _container_times(self, pod: JsonObject, began_at: float) -> dict[str, float]:
        [init], [server] = pod["status"]["initContainerStatuses"], pod["status"]["containerStatuses"]
        times = {}
        for phase, status, what in (
            ("init_started", init, "started"),
            ("init_ended", init, "ended"),
            ("server_started", server, "started"),
        ):
            container_id = status["containerID"].removeprefix("containerd://")
            times[phase] = await self._tasks.seconds(container_id, what) - began_at
        return times


async def _next(watch: HttpWatch, name: str, kind: str = "") -> JsonObject:
    """The pod as the next event has it, of that kind if one is given."""
    while True:
        event = await watch.receive()
        if event is None:
            raise DeadlineExceeded(f"the watch ended before pod {name} was seen")
        found: JsonObject = event["object"]
        if found["metadata"].get("name") == name and kind in ("", event["type"]):
            return found


def phases(pod: JsonObject) -> list[str]:
    """How far the pod has come."""
    conditions = pod.get("status", {}).get("conditions") or ()
    true = {one["type"] for one in conditions if one["status"] == "True"}
    return [phase for phase, kind in (("scheduled", "PodScheduled"), ("ready", "Ready")) if kind in true]


def result_of(starts: Sequence[Start]) -> Result:
    by_kind = {kind: [one for one in starts if one.kind == kind] for kind in KINDS}
    ready = {kind: statistics.median(one.ready for one in them) for kind, them in by_kind.items() if them}
    work = {kind: statistics.median(one.work for one in them) for kind, them in by_kind.items() if them}
    return Result(
        ready_seconds={kind: round(seconds, 3) for kind, seconds in ready.items()},
        work_seconds={kind: round(seconds, 3) for kind, seconds in work.items()},
        ratio=round(ready["cached"] / ready["plain"], 3),
        difference_milliseconds=round(1000 * (ready["cached"] - ready["plain"]), 1),
        work_difference_milliseconds=round(1000 * (work["cached"] - work["plain"]), 1),
        starts=tuple(starts),
    )


def lines_of(result: Result) -> list[str]:
    columns = ("created", "scheduled", "init_started", "init_ended", "server_started", "ready", "work")
    lines = ["".join(f"{word:>16}" for word in ("median, ms", "runs", *columns))]
    for kind in KINDS:
        starts = [one for one in result.starts if one.kind == kind]
        if starts:
            middle = [round(1000 * statistics.median(getattr(one, column) for one in starts)) for column in columns]
            lines.append("".join(f"{word:>16}" for word in (kind, len(starts), *middle)))
    times = f"{result.difference_milliseconds:+.0f} ms, {result.work_difference_milliseconds:+.0f} ms of work"
    worst = max(result.difference_milliseconds, result.work_difference_milliseconds)
    met = "met" if worst <= TARGET_MILLISECONDS else "missed"
    lines.append(f"cached / plain: {result.ratio:.2f}, {times}; the target of +{TARGET_MILLISECONDS} ms is {met}")
    return lines


def run(flags: argparse.Namespace) -> Result:
    images = tuple(sorted(Path(flags.images).glob("*.tar")))
    with RealCluster(ClusterOptions(images=images)) as cluster:
        deployment = Deployment(cluster)
        deployment.install()
        return measure(deployment, runs=flags.runs, waiting_runs=flags.waiting_runs)


def measure(deployment: Deployment, *, runs: int, waiting_runs: int) -> Result:
    """On a cluster that has the demo."""
    put_objects(deployment, {f"{_COLD}/weights.safetensors": COLD_MEBIBYTES * 2**20})
    rounds = _rounds(deployment, runs=runs, waiting_runs=waiting_runs)
    return result_of(deployment.cluster.run(rounds, timeout_seconds=_POD_SECONDS * (2 * runs + 2 * waiting_runs)))


async def _rounds(deployment: Deployment, *, runs: int, waiting_runs: int) -> list[Start]:
    """Each kind in turn, and the other way round in the next round; the first round counts for nothing.

    The moments at which pods are created are spread evenly over the second between two looks of the kubelet, for both
    kinds alike: else chance would decide who waits for its next look.
    """
    starts: list[Start] = []
    spread = [(number + 0.5) / runs for number in range(runs)]
    random.Random(1).shuffle(spread)
    async with TaskWatch(deployment.cluster.nodes[NODE]) as tasks:
        starter = Starter(deployment, tasks)
        for number in range(runs + 1):
            order = ["plain", "cached"] if number % 2 else ["cached", "plain"]
            if 0 < number <= waiting_runs:
                order += ["waiting", "download"]
            measured = [await starter.measure(kind, spread[number - 1]) for kind in order]
            starts += measured if number else ()
    return starts


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(prog="pod_start", description="Measures how long pods take to be Ready.")
    flags.add_argument("--images", required=True, metavar="DIR", help="what tools/images.py has put there")
    flags.add_argument("--runs", type=int, default=20, metavar="N", help="of a plain and a cached pod, in turn (20)")
    flags.add_argument("--waiting-runs", type=int, default=5, metavar="N", help="of those that have to wait (5)")
    flags.add_argument("--json", default="", metavar="FILE", help="where to write the result")
    return flags


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if flags.runs < 1 or not 0 <= flags.waiting_runs <= flags.runs:
            raise InvalidInput("--runs is more than 0, and --waiting-runs no more than it")
        if lacks := missing():
            raise InvalidInput(f"real nodes need {'; '.join(lacks)}")
        result = run(flags)
    except LocalModelError as error:
        sys.stderr.write(f"pod_start: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("pod_start: stopped\n")
        return 130
    sys.stdout.write("".join(f"{line}\n" for line in lines_of(result)))
    if flags.json:
        Path(flags.json).write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
