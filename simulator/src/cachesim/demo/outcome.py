"""What a demo reports: the file that `--json` writes, schema `localmodel.demo/v1`."""

from __future__ import annotations

import msgspec

from cachecore.errors import LocalModelError

SCHEMA = "localmodel.demo/v1"


class StepFailed(LocalModelError):
    """A step did not come to its end; the message says what was seen and where to look."""


class StepOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one step went: `detail` is one line."""

    name: str
    ok: bool
    seconds: float
    detail: str


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    uri: str = ""
    key: str = ""
    bytes_total: int = 0
    digest: str = ""


class ColdStart(msgspec.Struct, frozen=True, kw_only=True):
    """From the pod's creation to its model being served, in seconds; None when the story did not come that far."""

    uncached: float | None = None
    cached: float | None = None


class S3Report(msgspec.Struct, frozen=True, kw_only=True):
    """What S3 served over the whole story."""

    get_requests: int = 0
    bytes: int = 0


class EvictionReport(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    key: str
    reason: str


class DemoReport(msgspec.Struct, kw_only=True):
    """The whole story. Filled as it is told, so that one that breaks off is written too.

    `cluster` is the control plane that it was told on, `embedded` or `kube`.
    """

    schema: str = SCHEMA
    ok: bool = False
    cluster: str = "embedded"
    model: ModelReport = ModelReport()
    steps: list[StepOutcome] = []
    cold_start_seconds: ColdStart = ColdStart()
    s3: S3Report = S3Report()
    evictions: list[EvictionReport] = []

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"
