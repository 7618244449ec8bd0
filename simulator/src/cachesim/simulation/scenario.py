"""Scenarios: what a simulated cluster has, what it is asked for, and what goes wrong.

Fields are camelCase as in Kubernetes, sizes and durations as people write them (`40Gi`, `10Gbps`, `30m`).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from cachesim.faults.plan import Fault
from cachesim.simulation.housekeeping import Mode
from cachesim.simulation.section import Section
from cachesim.simulation.units import Duration, Name, Positive, Rate, Size


class Nodes(Section, frozen=True, kw_only=True):
    """The nodes, all alike. `loadRate` is how fast a container reads a local model into memory.

    `zones`: the nodes are dealt out to so many, node-1 to zone-1, node-2 to zone-2; a fault may strike one of them.
    `gpus`: how many each node has; without it pods find room everywhere.
    """

    count: Positive
    disk: Size
    network: Rate = "10Gbps"
    load_rate: Rate = "16Gbps"
    zones: Positive = 1
    gpus: Positive | None = None


class ObjectStorage(Section, frozen=True, kw_only=True):
    """S3: its bandwidth over all nodes, and the delay before the first byte of each request."""

    bandwidth: Rate = "40Gbps"
    latency: Duration = "50ms"


class NodeGroup(Section, frozen=True, kw_only=True):
    """The LocalModelNodeGroup over all nodes."""

    storage_limit: Size
    policy: Literal["LRU", "GreedyDualSize", "LFU", "LRFU"] = "LRU"
    high_watermark: Annotated[int, msgspec.Meta(ge=1, le=100)] = 90
    low_watermark: Annotated[int, msgspec.Meta(ge=1, le=100)] = 80
    max_concurrent_downloads: Positive = 2


class Model(Section, frozen=True, kw_only=True):
    """One model, made of `files` files, and its cache. `copies` None: on every node.

    `cached: false` leaves it to the storage initializer, unless a step of the story makes its cache. A pod of it takes
    `gpus` GPUs of its node.
    """

    name: Name
    size: Size
    files: Positive = 4
    priority: int = 0
    pinned: bool = False
    copies: Positive | None = None
    cached: bool = True
    gpus: Positive = 1


class Bursts(Section, frozen=True, kw_only=True):
    """Starts of a model come in bursts of `starts` on average, spread over `over`."""

    starts: Annotated[float, msgspec.Meta(gt=1)]
    over: Duration = "2h"


class FlashCrowd(Section, frozen=True, kw_only=True):
    """Beside all else, `starts` starts of one model within `over` of a moment."""

    at: Duration
    model: Name
    starts: Positive
    over: Duration = "30m"


class Release(Section, frozen=True, kw_only=True):
    """Within `over` of a moment each of `models` (none named: all) is replaced by a new version, with its own URI."""

    at: Duration
    over: Duration = "1h"
    models: tuple[Name, ...] = ()


class Traffic(Section, frozen=True, kw_only=True):
    """Pods that come and go: starts are a Poisson process, models are chosen by a Zipf law in the order of `models`.

    - `diurnal`: 0 for none; 1 for models that nobody wants at night. Each model has its own noon
    - `drift`: after that time the popularity of half the models has changed hands
    - `idle`: with it, `startsPerHour` are requests: one that finds an instance of its model finds it ready, and an
      instance goes when none came for that time
    """

    starts_per_hour: Annotated[float, msgspec.Meta(gt=0)]
    zipf: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    lifetime: Duration = "10m"
    begin: Duration = "0s"
    diurnal: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    drift: Duration | None = None
    bursts: Bursts | None = None
    flash_crowds: tuple[FlashCrowd, ...] = ()
    releases: tuple[Release, ...] = ()
    idle: Duration | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is nothing but a Poisson process of pods."""
        patterns = (self.diurnal, self.drift, self.bursts, self.flash_crowds, self.releases, self.idle)
        return not any(patterns)


class Step(Section, frozen=True, kw_only=True):
    """Something that people or other controllers do at a time.

    - `create-cache`, `delete-cache`: the cache of `model`, by the model's name or `name`
    - `pin`, `unpin`: the cache of `model`
    - `deploy`, `undeploy`: an InferenceService `name` of `model` in `namespace`, with `replicas` pods
    - `start-pod`, `delete-pod`: one pod `name` of `model`, on `node` if it says so
    - `release`: the objects of `model` are replaced by a new version
    - `set-limit`: the group's storageLimit becomes `size`
    - `cordon`, `uncordon`, `leave-group`, `join-group`: the node
    - `add-node`, `delete-node`: a machine comes, or goes for good
    - `delete-group`, `create-group`: the LocalModelNodeGroup
    - `delete-local-node`: somebody deletes the LocalModelNode of `node`
    - `create-namespace-cache`: one of `model` for `namespace`
    """

    at: Duration
    do: Literal[
        "create-cache",
        "delete-cache",
        "pin",
        "unpin",
        "create-namespace-cache",
        "delete-namespace-cache",
        "deploy",
        "undeploy",
        "start-pod",
        "delete-pod",
        "delete-namespace",
        "release",
        "set-limit",
        "cordon",
        "uncordon",
        "leave-group",
        "join-group",
        "add-node",
        "delete-node",
        "delete-local-node",
        "delete-group",
        "create-group",
    ]
    model: str = ""
    name: str = ""
    namespace: Name = "serving"
    node: str = ""
    replicas: Positive = 1
    size: Size | None = None


class Convergence(Section, frozen=True, kw_only=True):
    """After `duration` all faults stop. Then the world must come to rest, stay so for `quiet`, and be as it should."""

    within: Duration = "30m"
    quiet: Duration = "1m"


class Scenario(Section, frozen=True, kw_only=True):
    """A whole scenario file. `seed` is the one to replay; `sometimes` names what a campaign must have seen.

    `part_size` is what one request of a download brings: larger than in production, where it is 16 MiB, so that a
    terabyte costs a thousand events; smaller where models are. `housekeeping` quiet is for days and months: the cluster
    does next to nothing while nothing happens.
    """

    name: str
    description: str
    duration: Duration
    nodes: Nodes
    group: NodeGroup
    models: Annotated[tuple[Model, ...], msgspec.Meta(min_length=1)]
    traffic: Traffic | None = None
    storage: ObjectStorage = ObjectStorage()
    part_size: Size = "1Gi"
    managers: Positive = 1
    housekeeping: Mode = "full"
    story: tuple[Step, ...] = ()
    faults: tuple[Fault, ...] = ()
    convergence: Convergence = Convergence()
    seed: int | None = None
    sometimes: tuple[str, ...] | Literal["all"] = ()

    def node_names(self) -> list[str]:
        return [f"node-{number}" for number in range(1, self.nodes.count + 1)]

    def manager_names(self) -> list[str]:
        return [f"manager-{number}" for number in range(1, self.managers + 1)]
