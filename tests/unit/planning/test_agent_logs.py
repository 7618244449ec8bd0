"""What agents log of their plans tells which models were in use, where, and for how long."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pytest

from cacheagent.decisions import KeySeen, NodePlanned, NodeSeen
from cachecore.decisions import SCHEMA
from cachecore.errors import InvalidInput
from cachecore.names import storage_key
from cachecore.ports import DiskUsage
from cachecore.resources.serving import LocalModelInfo, LocalModelNodeSpec
from cachesim.planning.agent_logs import read_agent_logs, read_any
from cachesim.planning.logs import RequestLog

MODELS = {name: f"s3://models/{name}" for name in ("llama", "qwen")}
CHANGES_ONLY = (
    "agents log plans that have actions: only what changed between two of them is seen, and a pod that came and went "
    "in between is not"
)


def line(time: str, used: Sequence[str], *, host: str = "gpu-1", named: Mapping[str, str] = MODELS) -> bytes:
    """One plan of a node, where pods run of these models; `named` are those of its spec."""
    entries = tuple(LocalModelInfo(source_model_uri=uri, model_name=name) for name, uri in named.items())
    keys = [KeySeen(key=storage_key(uri), in_use=name in used) for name, uri in MODELS.items()]
    seen = NodeSeen(
        now_seconds=1.0,
        monotonic_seconds=2.0,
        spec=LocalModelNodeSpec(local_models=entries),
        disk=DiskUsage(total_bytes=9, free_bytes=9),
        keys=tuple(keys),
        default_concurrent_downloads=2,
        listing_seconds=600.0,
    )
    decision = NodePlanned(schema=SCHEMA, host=host, seen=seen, actions=())
    return msgspec.json.encode({"time": f"2026-01-31T{time}.000000Z", "decision": decision}) + b"\n"


@pytest.fixture
def path(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    return pathlib.Path("agent.log")


def read(path: pathlib.Path, *lines: bytes) -> RequestLog:
    path.write_bytes(b"".join(lines))
    return read_agent_logs([path])


def rows(log: RequestLog) -> list[tuple[float, str, str]]:
    columns = zip(log.seconds.tolist(), log.models, log.nodes, strict=True)
    return [(seconds, log.model_names[model], log.node_names[node]) for seconds, model, node in columns]


def mistake(path: pathlib.Path, *lines: bytes) -> str:
    with pytest.raises(InvalidInput) as refused:
        read(path, *lines)
    return str(refused.value)


def test_a_model_that_comes_into_use_is_a_request(path: pathlib.Path) -> None:
    log = read(path, line("12:00:00", []), line("12:01:00", ["qwen"]), line("12:02:00", ["qwen", "llama"]))
    assert rows(log) == [(0.0, "qwen", "gpu-1"), (60.0, "llama", "gpu-1")]
    assert (log.begin_seconds, log.notes) == (1769860860.0, (CHANGES_ONLY,))


def test_a_model_in_use_in_the_first_plan_is_a_request(path: pathlib.Path) -> None:
    assert rows(read(path, line("12:00:00", ["llama"]))) == [(0.0, "llama", "gpu-1")]


def test_its_duration_ends_with_its_use(path: pathlib.Path) -> None:
    log = read(path, line("12:00:00", ["llama", "qwen"]), line("12:05:00", ["qwen"]))
    assert rows(log) == [(0.0, name, "gpu-1") for name in sorted(MODELS, key=lambda name: storage_key(MODELS[name]))]
    by_name = {log.model_names[model]: seconds for model, seconds in zip(log.models, log.lifetime_seconds, strict=True)}
    assert by_name["llama"] == 300.0
    assert np.isnan(by_name["qwen"])


def test_use_that_comes_again_is_another_request(path: pathlib.Path) -> None:
    log = read(path, line("12:00:00", ["qwen"]), line("12:01:00", []), line("12:03:00", ["qwen"]))
    assert rows(log) == [(0.0, "qwen", "gpu-1"), (180.0, "qwen", "gpu-1")]


def test_each_node_is_looked_at_on_its_own(path: pathlib.Path) -> None:
    log = read(path, line("12:00:00", ["qwen"], host="b"), line("12:00:30", ["qwen"], host="a"))
    assert rows(log) == [(0.0, "qwen", "b"), (30.0, "qwen", "a")]


def test_several_files_of_a_node_are_one_log(path: pathlib.Path) -> None:
    later = pathlib.Path("later.log")
    later.write_bytes(line("12:10:00", ["qwen"]) + line("12:20:00", []))
    path.write_bytes(line("12:00:00", ["qwen"]))
    log = read_agent_logs([later, path])
    assert (rows(log), log.lifetime_seconds.tolist()) == ([(0.0, "qwen", "gpu-1")], [1200.0])


def test_a_model_is_named_by_any_plan_that_names_it(path: pathlib.Path) -> None:
    log = read(path, line("12:00:00", ["qwen"], named={}), line("12:01:00", [], host="other"))
    assert rows(log) == [(0.0, "qwen", "gpu-1")]


def test_a_model_that_no_plan_names_is_left_out_and_noted(path: pathlib.Path) -> None:
    log = read(path, line("12:00:00", ["llama", "qwen"], named={"qwen": MODELS["qwen"]}))
    assert rows(log) == [(0.0, "qwen", "gpu-1")]
    assert log.notes == (CHANGES_ONLY, "uses of a model that no plan names, and left out: 1")


def test_what_of_a_log_cannot_be_taken_is_noted(path: pathlib.Path) -> None:
    whole = line("12:00:00", ["qwen"])
    assert read(path, whole, whole[:100]).notes == (
        CHANGES_ONLY,
        "agent.log:2: the last line is cut off, and left out",
    )


def test_a_log_without_any_use_is_refused(path: pathlib.Path) -> None:
    assert mistake(path, line("12:00:00", [])) == (
        "agent.log: 0 requests: none of the 1 plans saw a model in use; give longer logs"
    )


def test_a_log_without_decisions_is_refused(path: pathlib.Path) -> None:
    assert mistake(path, b"{}\n").startswith("agent.log: there is no decision in it; give the log of an agent")


def test_a_log_of_a_manager_is_refused(path: pathlib.Path) -> None:
    too_large = b'{"decision":{"kind":"too-large","schema":"localmodel.decision/v1","host":"n","line_bytes":300000}}\n'
    assert mistake(path, too_large).startswith("agent.log: 0 plans of agents: give agents' logs with --log-format json")


def test_a_time_that_cannot_be_read_names_its_line(path: pathlib.Path) -> None:
    assert mistake(path, line("25:00:00", [])) == (
        "agent.log:1: can't read the time '2026-01-31T25:00:00.000000Z': give the log as the agent wrote it"
    )


def test_a_file_that_is_not_there_is_one_clear_line(path: pathlib.Path) -> None:
    with pytest.raises(InvalidInput, match=r"agent.log: cannot be read: No such file"):
        read_agent_logs([path])


@pytest.mark.parametrize("name", ["agent.log", "agent.JSON"])
def test_a_log_of_an_agent_is_known_by_its_suffix(path: pathlib.Path, name: str) -> None:
    pathlib.Path(name).write_bytes(line("12:00:00", ["qwen"]))
    assert len(read_any([pathlib.Path(name)])) == 1


def test_another_suffix_is_a_log_of_requests(path: pathlib.Path) -> None:
    pathlib.Path("log.csv").write_text("timestamp,model\n1,a\n")
    assert read_any([pathlib.Path("log.csv")]).model_names == ("a",)


@pytest.mark.parametrize("names", [[], ["a.csv", "b.csv"], ["a.log", "b.csv"]])
def test_several_logs_of_requests_are_refused(names: list[str]) -> None:
    with pytest.raises(InvalidInput, match=f"{len(names)} files: give one log of requests, or any number of agents'"):
        read_any([pathlib.Path(name) for name in names])
