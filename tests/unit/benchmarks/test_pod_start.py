"""The benchmark of pod starts: what it reads, and how it counts."""

import pytest

import pod_start
from cachecore.resources.meta import JsonObject
from pod_start import Start, lines_of, phases, result_of
from podstart.pods import download_pod, plain_pod
from podstart.tasks import Moment, read_event

WHEN = "2026-11-26 19:18:12.250000000 +0000 UTC k8s.io"
SECONDS = 1795720692.25


def start(kind: str, *, init_ended: float, look: float = 1.0, ready: float) -> Start:
    return Start(
        kind=kind,
        created=0.01,
        scheduled=0.02,
        init_started=0.5,
        init_ended=init_ended,
        server_started=init_ended + look,
        ready=ready,
    )


@pytest.mark.parametrize(
    ("event", "wanted"),
    [
        ('/tasks/start {"container_id":"c1","pid":7}', (Moment("c1", "started"), SECONDS)),
        ('/tasks/exit {"container_id":"c1","id":"c1","pid":7}', (Moment("c1", "ended"), SECONDS)),
        ('/tasks/exit {"container_id":"c1","id":"exec-1","pid":8}', None),
        ('/snapshot/prepare {"key":"c1"}', None),
    ],
)
def test_the_moments_of_containers_are_read(event: str, wanted: object) -> None:
    assert read_event(f"{WHEN} {event}") == wanted


def test_a_line_without_an_event_is_none() -> None:
    assert read_event("\n") is None


def test_how_far_a_pod_has_come() -> None:
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}]
    assert phases({"status": {"conditions": conditions}}) == ["scheduled"]
    assert phases({}) == []


def test_a_cached_pod_is_compared_with_a_plain_one() -> None:
    result = result_of(
        [
            *(start("plain", init_ended=0.5, ready=1.6), start("cached", init_ended=0.6, ready=1.7)),
            *(
                start("cached", init_ended=0.6, ready=3.7, look=3.0),
                start("plain", init_ended=0.5, ready=3.5, look=2.9),
            ),
        ]
    )
    assert result.ready_seconds == {"plain": 2.55, "cached": 2.7}
    assert result.difference_milliseconds == 150.0
    assert result.work_difference_milliseconds == 100.0


@pytest.mark.parametrize(("ready", "words"), [(1.65, "is met"), (1.75, "is missed")])
def test_the_target_is_said(ready: float, words: str) -> None:
    starts = [start("plain", init_ended=0.5, ready=1.6), start("cached", init_ended=0.5, ready=ready)]
    assert lines_of(result_of(starts))[-1].endswith(words)


def test_what_is_compared_differs_in_its_model_only() -> None:
    plain, download = plain_pod("one", "node-a"), download_pod("one", "node-a")

    def server_of(pod: JsonObject) -> JsonObject:
        [server] = pod["spec"]["containers"]
        return {name: part for name, part in server.items() if name not in ("args", "volumeMounts")}

    assert server_of(plain) == server_of(download)
    assert plain["spec"]["nodeSelector"] == download["spec"]["nodeSelector"]
    assert len(plain["spec"]["initContainers"]) == len(download["spec"]["initContainers"])


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pod_start, "missing", lambda: ["root's rights"])
    assert pod_start.main(["--images", "/nowhere"]) == 1
    assert capsys.readouterr().err == "pod_start: real nodes need root's rights\n"


def test_a_number_of_runs_that_compares_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert pod_start.main(["--images", "/nowhere", "--runs", "0"]) == 1
    assert "--runs" in capsys.readouterr().err
