"""A pod's status, from what its containers do: pure."""

from __future__ import annotations

import dataclasses
from typing import Any

from cachecore.resources.core import Container, Pod
from cachecore.resources.meta import JsonObject
from cachecore.timestamps import format_timestamp

OUR_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


@dataclasses.dataclass
class ContainerRecord:
    """What the node knows of one container of one pod."""

    container: Container
    state: JsonObject
    last_state: JsonObject = dataclasses.field(default_factory=dict)
    restart_count: int = 0

    @classmethod
    def waiting_for(cls, container: Container, reason: str) -> ContainerRecord:
        return cls(container, {"waiting": {"reason": reason}})

    @property
    def running(self) -> bool:
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        return self.state["terminated"]["exitCode"] if "terminated" in self.state else None

    def wait(self, reason: str, message: str = "") -> None:
        if "terminated" in self.state:
            self.last_state = self.state
        self.state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}

    def run(self, now: float) -> None:
        self.state = {"running": {"startedAt": format_timestamp(now)}}

    def end(self, code: int, now: float, message: str = "") -> None:
        self.state = {
            "terminated": {
                "exitCode": code,
                "reason": "Completed" if code == 0 else "Error",
                "startedAt": self.state.get("running", {}).get("startedAt", format_timestamp(now)),
                "finishedAt": format_timestamp(now),
                **({"message": message} if message else {}),
            }
        }

    def status(self, *, ready: bool) -> JsonObject:
        return {
            "name": self.container.name,
            "image": self.container.image,
            "imageID": "",
            "ready": ready,
            "started": self.running,
            "restartCount": self.restart_count,
            "state": self.state,
            "lastState": self.last_state,
        }


@dataclasses.dataclass
class PodRecord:
    """What the node knows of one pod. `failed`: it ended for good, by an init container or a container."""

    init_containers: list[ContainerRecord]
    containers: list[ContainerRecord]
    start_time: float
    mounted: bool = False
    initialized: bool = False
    ended: bool = False
    failed: bool = False

    @classmethod
    def of(cls, pod: Pod, now: float) -> PodRecord:
        return cls(
            [ContainerRecord.waiting_for(container, "PodInitializing") for container in pod.spec.init_containers],
            [
                ContainerRecord.waiting_for(
                    container, "PodInitializing" if pod.spec.init_containers else "ContainerCreating"
                )
                for container in pod.spec.containers
            ],
            now,
        )

    @property
    def phase(self) -> str:
        if self.ended:
            return "Failed" if self.failed else "Succeeded"
        begun = any(record.running or record.restart_count for record in self.containers)
        ended = any(record.exit_code is not None for record in self.containers)
        return "Running" if self.initialized and (begun or ended) else "Pending"


def pod_status(pod: Pod, record: PodRecord, address: str, now: float, previous: JsonObject) -> JsonObject:
    """The whole status to write. `previous` is what was written last: it keeps the times of what has not changed."""
    init_statuses = [one.status(ready=one.exit_code == 0 or (one.running and False)) for one in record.init_containers]
    statuses = [one.status(ready=one.running) for one in record.containers]
    return {
        "phase": record.phase,
        "hostIP": address,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": format_timestamp(record.start_time),
        "conditions": _conditions(pod, record, now, previous.get("conditions", ())),
        **({"initContainerStatuses": init_statuses} if init_statuses else {}),
        "containerStatuses": statuses,
    }


def _conditions(pod: Pod, record: PodRecord, now: float, previous: Any) -> list[JsonObject]:
    unready = [one.container.name for one in record.containers if not one.running]
    incomplete = [one.container.name for one in record.init_containers if one.exit_code != 0]
    ready: tuple[bool, str, str] = (True, "", "")
    if record.ended and not record.failed:
        ready = (False, "PodCompleted", "")
    elif unready:
        ready = (False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    initialized: tuple[bool, str, str] = (True, "", "")
    if not record.initialized:
        names = " ".join(incomplete)
        initialized = (False, "ContainersNotInitialized", f"containers with incomplete status: [{names}]")
    wanted = {
        "PodReadyToStartContainers": (record.mounted, "", ""),
        "Initialized": initialized,
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": (True, "", ""),
    }
    before = {condition["type"]: condition for condition in previous}
    before.update(
        {
            one.type: {"status": one.status, "lastTransitionTime": one.last_transition_time}
            for one in pod.status.conditions
            if one.type not in before
        }
    )
    others = [
        {
            "type": one.type,
            "status": one.status,
            "reason": one.reason,
            "message": one.message,
            "lastTransitionTime": one.last_transition_time,
        }
        for one in pod.status.conditions
        if one.type not in OUR_CONDITIONS
    ]
    return others + [_condition(kind, *wanted[kind], now, before.get(kind)) for kind in OUR_CONDITIONS]


def _condition(kind: str, holds: bool, reason: str, message: str, now: float, before: JsonObject | None) -> JsonObject:
    status = "True" if holds else "False"
    kept = before.get("lastTransitionTime") if before and before.get("status") == status else None
    return {
        "type": kind,
        "status": status,
        **({"reason": reason} if reason else {}),
        **({"message": message} if message else {}),
        "lastTransitionTime": kept or format_timestamp(now),
    }
