"""kubectl, for what the API has no plain verb for: Kustomize, rollouts, logs, commands in containers, ports."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import sys
from typing import Any, cast

from cachecore.errors import InvalidInput, LocalModelError
from cachesim.host import launcher

_FORWARD_SECONDS = 30.0
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


class KubectlFailed(LocalModelError):
    """Ends with kubectl's own last words."""


class Kubectl:
    """Calls kubectl with one kubeconfig. Raises `InvalidInput` where there is no kubectl."""

    def __init__(self, kubeconfig: str) -> None:
        program = shutil.which("kubectl")
        if program is None:
            raise InvalidInput("--kubeconfig: kubectl is not installed, and the manifests are applied with it")
        self._command = (program, f"--kubeconfig={kubeconfig}")
        self._forward: asyncio.subprocess.Process | None = None

    async def run(self, *arguments: str, given: str = "") -> str:
        """What it prints; `given` is its standard input. Raises `KubectlFailed`."""
        process = await self._start(*arguments)
        try:
            output, errors = await process.communicate(given.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            said = errors.decode(errors="replace").strip().splitlines()
            raise KubectlFailed(
                f"kubectl {' '.join(arguments[:6])}: {said[-1] if said else 'it failed without a word'}"
            )
        return output.decode()

    async def read(self, *arguments: str) -> Any:
        """`kubectl get`, as JSON; None where there is nothing. Raises `KubectlFailed`."""
        said = await self.run("get", "--ignore-not-found", "--output=json", *arguments)
        return json.loads(said) if said.strip() else None

    async def items(self, *arguments: str) -> list[Any]:
        """`kubectl get` of a kind, or by a selector. Raises `KubectlFailed`."""
        found = await self.read(*arguments)
        items: list[Any] = found["items"] if found is not None else []
        return items

    async def forward(self, namespace: str, target: str, port: int) -> int:
        """The port of loopback that leads to the target's, until `stop`. Raises `KubectlFailed`."""
        process = self._forward = await self._start("port-forward", f"--namespace={namespace}", target, f":{port}")
        output, errors = cast("asyncio.StreamReader", process.stdout), cast("asyncio.StreamReader", process.stderr)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FORWARD_SECONDS):
                while line := (await output.readline()).decode():
                    if found := _FORWARDING.match(line):
                        return int(found.group(1))
        await self.stop()
        raise KubectlFailed(f"kubectl port-forward {target}: {(await errors.read()).decode().strip()}")

    async def stop(self) -> None:
        """Forward no more."""
        process, self._forward = self._forward, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", launcher.__file__, str(os.getpid())),
            *self._command,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # A Ctrl-C in the terminal is for the demo, which then takes away what it brought.
            start_new_session=True,
        )
