"""What a guide in docs/ has its reader write into files and type, so that tests can do the same."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from realcluster.deployment import Deployment
from realcluster.network import CommandFailed

DOCS = Path(__file__).resolve().parents[3] / "docs"
_FILE = re.compile(r"`([\w./-]+\.yaml)`:\n\n```yaml\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROMPT = "$ "


def files(guide: str) -> dict[str, str]:
    """The files that are shown whole, below a line that ends with their name."""
    return dict(_FILE.findall((DOCS / guide).read_text()))


def scripts(guide: str) -> list[str]:
    """The commands of each `console` block, in order; a block that begins without a prompt is a mistake."""
    blocks = _CONSOLE.findall((DOCS / guide).read_text())
    lines = [block.splitlines() for block in blocks]
    assert all(line.startswith(_PROMPT) for block in lines for line in block), "a line without a prompt"
    return ["\n".join(line.removeprefix(_PROMPT) for line in block) for block in lines]


def run(deployed: Deployment, script: str, folder: Path) -> str:
    """What the commands say, one after the other, in the network of the cluster. Raises `CommandFailed`."""
    return deployed.cluster.run(_in_shell(deployed, script, folder))


async def _in_shell(deployed: Deployment, script: str, folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *("bash", "-e", "-o", "pipefail", "-c", f"export KUBECONFIG={deployed.cluster.kubeconfig}\n{script}"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        raise CommandFailed(f"{script}\n{said.decode()}")
    return said.decode()
