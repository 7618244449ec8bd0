from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from cachecore.store.digest import digest_of_contents
from cachesim.containers import ContainerStart, ImageUnknown, Mount, StartRefused
from cachesim.containers.images import READER_IMAGE, image_name, local_images
from cachesim.containers.isolation import Isolation, detect_isolation
from cachesim.containers.processes import LocalProcesses

CONTENTS = {"config.json": b"{}", "weights/b": b"x" * 70_000, "weights/a": b""}

here = pytest.mark.parametrize("isolation", sorted({detect_isolation(), Isolation.LINKS}))


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A node's disk with one model on it."""
    for name, content in CONTENTS.items():
        path = tmp_path / "disk/store/model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "disk"


@pytest.fixture
def run(disk: Path, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run a container to its end: its exit code and what it wrote."""

    def to_its_end(isolation: Isolation, act: Any = None, **fields: Any) -> tuple[int, str]:
        async def scene() -> tuple[int, str]:
            machine = LocalProcesses(disk, tmp_path / "scratch", isolation=isolation)
            container = await machine.start(start_of(**fields))
            if act is not None:
                await act(container)
            return await asyncio.wait_for(container.wait(), 30), await container.log()

        return asyncio.run(scene())

    return to_its_end


def start_of(**fields: Any) -> ContainerStart:
    return ContainerStart(
        **{"pod_uid": "1", "pod_namespace": "default", "pod_name": "web", "name": "main", "log_path": "/log", **fields}
    )


def alive(pid: int) -> bool:
    """Whether the process runs: one that was killed may be there for a moment still, without a command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


async def until(holds: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Other processes tell nobody when something has become so: it is asked for until it has."""
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def ends(pid: int) -> bool:
    async def ended() -> bool:
        return not alive(pid)

    asyncio.run(until(ended))
    return True


MODEL = Mount(source="/store/model", target="/mnt/models", read_only=True)


def when_written(text: str, grace_seconds: float = 5.0) -> Callable[[Any], Coroutine[Any, Any, None]]:
    """Stop the container once it has written `text`."""

    async def stop(container: Any) -> None:
        async def written() -> bool:
            return text in await container.log()

        await until(written)
        await container.stop(grace_seconds)

    return stop


@here
def test_the_reader_says_the_digest_of_its_model_and_stops_when_told(
    run: Callable[..., tuple[int, str]], isolation: Isolation
) -> None:
    code, log = run(
        isolation, when_written("\n"), image=READER_IMAGE, args=("--model_dir=/mnt/models",), mounts=(MODEL,)
    )
    report = json.loads(log)
    assert code == 0
    assert report["digest"] == digest_of_contents(CONTENTS)
    assert (report["files"], report["bytes"]) == (3, 70_002)


@here
def test_a_mount_is_where_the_command_expects_it(run: Callable[..., tuple[int, str]], isolation: Isolation) -> None:
    command = ("sh", "-c", "cat /mnt/models/config.json")
    assert run(isolation, command=command, mounts=(MODEL,)) == (0, "{}")


@here
def test_a_sub_path_is_mounted_alone(run: Callable[..., tuple[int, str]], isolation: Isolation) -> None:
    mount = Mount(source="/store", target="/localmodel/view", sub_path="model/weights")
    assert run(isolation, command=("sh", "-c", "ls /localmodel/view/"), mounts=(mount,)) == (0, "a\nb\n")


@pytest.mark.skipif(detect_isolation() is Isolation.LINKS, reason="this machine allows no mount namespaces")
def test_a_read_only_mount_can_not_be_written(run: Callable[..., tuple[int, str]], disk: Path) -> None:
    code, log = run(detect_isolation(), command=("touch", "/mnt/models/new"), mounts=(MODEL,))
    assert code != 0
    assert "Read-only" in log
    assert not (disk / "store/model/new").exists()


@here
def test_no_mount_point_is_left_on_the_machine(
    run: Callable[..., tuple[int, str]], isolation: Isolation, tmp_path: Path
) -> None:
    mount = Mount(source="/store", target="/localmodel-test-target")
    assert run(isolation, command=("true",), mounts=(mount,))[0] == 0
    assert not Path("/localmodel-test-target").exists()
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert list((tmp_path / "scratch").iterdir()) == []


@here
def test_variables_of_this_machine_do_not_leak(
    run: Callable[..., tuple[int, str]], isolation: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    code, log = run(isolation, command=("env",), env=(("GIVEN", "value"),))
    assert code == 0
    assert "GIVEN=value" in log
    assert "AWS" not in log


def test_a_container_that_ignores_its_stop_is_killed(run: Callable[..., tuple[int, str]]) -> None:
    command = ("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done")
    assert run(detect_isolation(), when_written("up", 0.1), command=command)[0] == 137


def test_children_end_with_their_container(run: Callable[..., tuple[int, str]]) -> None:
    _, log = run(detect_isolation(), when_written("\n"), command=("sh", "-c", "sleep 60 & echo $!; wait"))
    assert ends(int(log))


def test_a_power_cut_ends_every_container(disk: Path, tmp_path: Path) -> None:
    async def scene() -> int:
        machine = LocalProcesses(disk, tmp_path / "scratch")
        container = await machine.start(start_of(command=("sleep", "60")))
        machine.kill_all()
        return await container.wait()

    assert asyncio.run(scene()) == 137


def test_containers_end_with_the_process_that_started_them(disk: Path, tmp_path: Path) -> None:
    program = f"""
import asyncio, os, signal
from pathlib import Path
from cachesim.containers import ContainerStart
from cachesim.containers.processes import LocalProcesses
async def main():
    machine = LocalProcesses(Path({str(disk)!r}), Path({str(tmp_path / "scratch")!r}))
    start = ContainerStart(pod_uid="1", pod_namespace="n", pod_name="p", name="c", log_path="/log",
                           command=("sh", "-c", "echo $$; exec sleep 60"))
    container = await machine.start(start)
    while not (pid := await container.log()):
        await asyncio.sleep(0.01)
    print(pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment
    )
    pid = int(ended.stdout)

    assert ends(pid)


def test_an_unknown_image_without_a_command_is_refused(disk: Path, tmp_path: Path) -> None:
    machine = LocalProcesses(disk, tmp_path / "scratch")
    with pytest.raises(ImageUnknown, match="nginx"):
        asyncio.run(machine.start(start_of(image="nginx:1")))


@pytest.mark.parametrize(
    "fields", [{"command": ("no-such-program",)}, {"command": ("true",), "mounts": (Mount(source="/no", target="/m"),)}]
)
def test_what_is_not_there_is_refused(disk: Path, tmp_path: Path, fields: dict[str, Any]) -> None:
    machine = LocalProcesses(disk, tmp_path / "scratch")
    with pytest.raises(StartRefused):
        asyncio.run(machine.start(start_of(**fields)))


@pytest.mark.parametrize(
    "image", ["kserve/storage-initializer:v1", "a.b:5000/x/storage-initializer", "storage-initializer"]
)
def test_an_image_is_known_by_the_last_part_of_its_name(image: str) -> None:
    assert image_name(image) == "storage-initializer"
    assert local_images().argv(image, (), ("a", "b"))[-2:] == ("a", "b")
