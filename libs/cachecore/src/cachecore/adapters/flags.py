"""Command-line flags that are environment variables as well: `--log-level` is also `LOCALMODEL_LOG_LEVEL`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from cachecore.errors import InvalidInput

ENVIRONMENT_PREFIX = "LOCALMODEL_"
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


class FlagParser(argparse.ArgumentParser):
    """An ArgumentParser whose `add_flag` also reads the environment, and says so, with the default, in `--help`.

    The command line wins over the environment, the environment over the default.
    """

    def __init__(self, *, environment: Mapping[str, str] | None = None, **options: Any) -> None:
        options.setdefault(
            "formatter_class", lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=110)
        )
        # An abbreviation that works today would change its meaning when a flag is added.
        options.setdefault("allow_abbrev", False)
        super().__init__(**options)
        self._environment = os.environ if environment is None else environment

    def add_flag(
        self,
        name: str,
        *,
        help: str,
        default: Any = None,
        type: Callable[[str], Any] = str,
        choices: Sequence[Any] | None = None,
        metavar: str | None = None,
        required: bool = False,
        group: argparse._ArgumentGroup | None = None,
    ) -> None:
        """Add `--name`. A boolean `default` makes it a switch, with `--no-name` as well.

        `required` is satisfied by the environment too.
        """
        variable = environment_variable(name)
        value, source = self._initial(variable, default, type, choices)
        shown = "" if default in (None, "") else f"; default: {_shown(default)}"
        text = f"{help} [{variable}{shown}]".replace("%", "%%")
        target = group if group is not None else self
        if isinstance(default, bool):
            target.add_argument(name, action=argparse.BooleanOptionalAction, default=value, help=text)
        else:
            target.add_argument(
                name,
                type=type,
                choices=choices,
                metavar=metavar or (None if choices else _metavar(name)),
                default=value,
                required=required and source is None,
                help=text,
            )

    def error(self, message: str) -> NoReturn:
        """One line, without the usage that argparse puts before it."""
        self.exit(2, f"{self.prog}: error: {message} (see --help)\n")

    def add_common_flags(self, *, port: int) -> None:
        """The flags that every service has: which API server, where to serve health and metrics, how to log."""
        self.add_flag(
            "--kubeconfig",
            default="",
            metavar="FILE",
            help="kubeconfig to connect with; empty: as a pod in the cluster",
        )
        self.add_flag("--address", default="0.0.0.0", help="address that health and metrics are served on")  # noqa: S104
        self.add_flag("--port", default=port, type=port_number, help="port of health and metrics; 0: any free one")
        self.add_flag("--log-level", default="info", choices=("debug", "info", "warning", "error"), help="least level")
        self.add_flag("--log-format", default="json", choices=("json", "text"), help="how a log line is written")

    def parse_flags(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """The flags, from the command line and the environment. Exits with code 2 and one line when one is wrong."""
        return self.parse_args(sys.argv[1:] if arguments is None else arguments)

    def _initial(
        self, variable: str, default: Any, type: Callable[[str], Any], choices: Sequence[Any] | None
    ) -> tuple[Any, str | None]:
        text = self._environment.get(variable)
        if text is None:
            return default, None
        try:
            value = _boolean(text) if isinstance(default, bool) else type(text)
        except (ValueError, TypeError, argparse.ArgumentTypeError, InvalidInput) as error:
            self.error(f"environment variable {variable}: {text!r} is not acceptable: {error}")
        if choices is not None and value not in choices:
            allowed = ", ".join(str(choice) for choice in choices)
            self.error(f"environment variable {variable}: {text!r} is not one of: {allowed}")
        return value, variable


def environment_variable(flag: str) -> str:
    """`--log-level` -> `LOCALMODEL_LOG_LEVEL`."""
    return ENVIRONMENT_PREFIX + flag.lstrip("-").replace("-", "_").upper()


def port_number(text: str) -> int:
    """The type of a flag that is a TCP port."""
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no port: 0 to 65535")
    return port


def positive_seconds(text: str) -> float:
    """The type of a flag that is a duration."""
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return seconds


def not_negative_seconds(text: str) -> float:
    """The type of a flag that is a duration, or 0 for none."""
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is neither 0 nor a positive number of seconds")
    return seconds


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("write true or false")


def _shown(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def _metavar(name: str) -> str:
    return name.rpartition("-")[2].upper()
