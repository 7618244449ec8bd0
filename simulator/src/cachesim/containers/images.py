"""Which program of this machine stands for which image, and for which command of an image."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import PurePosixPath

import msgspec

STORAGE_INITIALIZER_IMAGE = "kserve/storage-initializer:latest"
READER_IMAGE = "localmodel/reader:latest"
AGENT_IMAGE = "localmodel/agent:latest"

_HERE = PurePosixPath(__file__).parent


def image_name(image: str) -> str:
    """The last part of an image's repository: `storage-initializer` of `kserve/storage-initializer:v0.15`."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


class Images(msgspec.Struct, frozen=True, kw_only=True):
    """`entrypoints` by image name, `commands` by the first word of a command. All others run as they are."""

    entrypoints: Mapping[str, tuple[str, ...]]
    commands: Mapping[str, tuple[str, ...]]

    def argv(self, image: str, command: tuple[str, ...], args: tuple[str, ...]) -> tuple[str, ...]:
        """What to execute; empty when the image is not known and there is no command."""
        if command:
            return (*self.commands.get(command[0], command[:1]), *command[1:], *args)
        entrypoint = self.entrypoints.get(image_name(image), ())
        return (*entrypoint, *args) if entrypoint else ()


def local_images() -> Images:
    """The programs of this distribution, run by this Python."""
    return Images(
        entrypoints={
            "storage-initializer": (sys.executable, str(_HERE / "storage_initializer.py")),
            "reader": (sys.executable, str(_HERE / "reader.py")),
            "agent": (sys.executable, "-m", "cacheagent", "run"),
        },
        # The agent's command as its image has it on PATH; here it may be installed beside this Python, or not at all.
        commands={"cacheagent": (sys.executable, "-m", "cacheagent")},
    )
