"""Production coroutines reach the world through ports alone, so that the simulator can run them on virtual time.

A module that imports the clock, the loop, a thread, a socket, the file system or a driver of one is an adapter, a fake,
an entry point, or is listed below with its reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

WORLD = frozenset(
    """
    asyncio concurrent contextlib2 ctypes ensurepip fcntl ftplib getpass glob http io mmap multiprocessing os pathlib
    platform pty queue random resource sched secrets select selectors shutil signal socket socketserver ssl subprocess
    tempfile termios threading time urllib.request uuid
    aiobotocore aiohttp anyio boto3 botocore flask fsspec httpx kubernetes moto requests s3fs urllib3 uvicorn uvloop
    """.split()
)

# Types and pure functions of modules that otherwise touch the world.
HARMLESS = frozenset(
    """
    http.HTTPStatus io.BytesIO io.StringIO pathlib.PurePath pathlib.PurePosixPath random.Random uuid.UUID uuid.uuid5
    """.split()
)
PARTLY_HARMLESS = frozenset(name.split(".")[0] for name in HARMLESS)

# The calls that read a clock or open a file without an import that would tell.
CALLS = frozenset({"open", "input", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"})

# In any package: `adapters` translate the world into ports, `testing` holds fakes and the runners of tests.
OUTER_MODULES = frozenset({"adapters", "testing", "__main__"})

# Module (with all below it) and why it may touch the world.
ALLOWED = {
    "cacheagent.command": "the command line: flags, environment and wiring",
    "cacheagent.guard": "the guard container's whole program, which waits for a copy in a pod",
    "cachesim.apiserver.http": "the API server's front: sockets, TLS and uvicorn around the core, which has none",
    "cachesim.cli": "the command: its output may have no reader any more",
    "cachesim.commands": "the command line: arguments, files and the terminal",
    "cachesim.containers.isolation": "asks the kernel for mount namespaces",
    "cachesim.containers.launcher": "runs inside a container's process",
    "cachesim.containers.processes": "the adapter of the containers' port to processes",
    "cachesim.containers.reader": "the program of a container",
    "cachesim.containers.storage_initializer": "the program of a container",
    "cachesim.controlplane": "a real control plane: Go's tools, processes and files on this machine",
    "cachesim.demo": "a story on the local cluster: generates models, uploads them, reads the pods' logs",
    "cachesim.definitions": "reads the CustomResourceDefinitions, before anything runs",
    "cachesim.host": "processes, ports, certificates and threads of this machine",
    "cachesim.localcluster": "the local cluster: real processes, files and sockets on this machine",
    "cachesim.planning.agent_logs": "reads agents' logs, before there is a plan",
    "cachesim.planning.from_cluster": "reads a cluster, before there is a plan",
    "cachesim.planning.logs": "reads a log of requests, before there is a plan",
    "cachesim.planning.pace": "tells a person how long a plan takes",
    "cachesim.planning.points": "measures points in processes of their own",
    "cachesim.real": "real files, a loop and moto's S3 under a simulated cluster, one operation at a time",
    "cachesim.campaign": "forks workers, and times a campaign by the wall clock",
    "cachesim.simulation.run": "times, by the wall clock, how long a whole simulation took",
    "cachesim.simulation.scenario_file": "reads the scenario file, before there is a simulation",
    "cachewebhook.server": "the webhook's front: sockets, TLS and uvicorn around the core, which has none",
}


def allowed(module: str) -> bool:
    _, _, inside = module.partition(".")
    listed = any(module == entry or module.startswith(f"{entry}.") for entry in ALLOWED)
    return listed or inside.split(".")[0] in OUTER_MODULES


def dotted(node: ast.expr) -> str:
    """The last two names of `a.b.c`, or the one name there is."""
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value).rsplit(".", 1)[-1]
        return f"{owner}.{node.attr}" if owner else node.attr
    return node.id if isinstance(node, ast.Name) else ""


def is_world(name: str) -> bool:
    return name not in HARMLESS and any(name == module or name.startswith(f"{module}.") for module in WORLD)


def typing_only(tree: ast.Module) -> set[ast.AST]:
    """The nodes below `if TYPE_CHECKING:`, which never run."""
    return {
        below
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for below in ast.walk(statement)
    }


def reaches(source: str) -> Iterator[str]:
    """Each way in which this source reaches past the ports, as `line: what`."""
    tree = ast.parse(source)
    skipped = typing_only(tree)
    # `import random` is needed for its types: what is taken from such a module is looked at where it is taken.
    looked_at: set[str] = set()
    for node in ast.walk(tree):  # breadth first: the imports of the module come before their uses
        names: list[str] = []
        if node in skipped or not isinstance(node, ast.stmt | ast.expr):
            continue
        if isinstance(node, ast.Import):
            looked_at.update(alias.name for alias in node.names if alias.name in PARTLY_HARMLESS)
            names = [alias.name for alias in node.names if alias.name not in PARTLY_HARMLESS]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in looked_at:
            names = [dotted(node)]
        elif isinstance(node, ast.Call) and dotted(node.func) in CALLS:
            yield f"{node.lineno}: {dotted(node.func)}()"
        for name in filter(is_world, names):
            yield f"{node.lineno}: {name}"


def test_only_adapters_and_entry_points_touch_the_world(production_modules: dict[str, Path]) -> None:
    offenders = {
        module: found
        for module, path in production_modules.items()
        if not allowed(module) and (found := list(reaches(path.read_text())))
    }
    assert offenders == {}


def test_the_list_of_exceptions_holds_no_module_that_is_gone(production_modules: dict[str, Path]) -> None:
    assert [entry for entry in ALLOWED if entry not in production_modules] == []


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio",
        "import os.path",
        "from time import monotonic",
        "from pathlib import Path",
        "import random\nrandom.random()",
        "from random import choice",
        "from kubernetes import aio",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "open('model')",
    ],
)
def test_a_way_past_the_ports_is_seen(source: str) -> None:
    assert len(list(reaches(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import random\ndef jitter(chance: random.Random) -> float: return chance.random()",
        "runtime.random.random()",
        "import uuid\nuuid.UUID(int=1)",
        "from pathlib import PurePosixPath",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import asyncio",
        "import datetime\ndatetime.datetime.fromtimestamp(0, tz=datetime.UTC)",
        "store.open('model')",
    ],
)
def test_what_only_names_a_type_or_calls_a_port_is_left_alone(source: str) -> None:
    assert list(reaches(source)) == []
