"""What a person sees of the demo: coloured and moving on a terminal, plain lines everywhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cachecore.quantity import format_bytes
from cachesim.demo.outcome import DemoReport, EvictionReport, StepOutcome

_LINES_PER_BAR = 4


class Screen:
    """Writes to one console. Nothing but text goes to what is no terminal."""

    def __init__(self, *, color: bool = True) -> None:
        self._console = Console(no_color=not color, highlight=False, soft_wrap=True)
        self._bars: Progress | None = None
        self._steps = 0

    @property
    def is_terminal(self) -> bool:
        return self._console.is_terminal

    def title(self, text: str) -> None:
        self._console.print(f"[bold]{escape(text)}[/bold]\n")

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """The title, and something that moves below it for as long as the step takes."""
        self._steps += 1
        self._console.print(f"[bold cyan]{self._steps:>2}[/bold cyan]  [bold]{escape(title)}[/bold]")
        if not self.is_terminal:
            yield
            return
        self._bars = Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        moving = Padding(Group(self._bars, Spinner("dots")), (0, 0, 0, 4))
        try:
            with Live(moving, console=self._console, transient=True, refresh_per_second=12):
                yield
        finally:
            self._bars = None

    def note(self, text: str) -> None:
        """Something on the way that is worth a line."""
        self._print_below(f"[dim]{escape(text)}[/dim]")

    def done(self, outcome: StepOutcome) -> None:
        mark = "[bold green]ok[/bold green]" if outcome.ok else "[bold red]failed[/bold red]"
        self._print_below(f"{mark}  {escape(outcome.detail)} [dim]({outcome.seconds:.1f} s)[/dim]")
        self._console.print()

    def _print_below(self, markup: str) -> None:
        """Below the step's title: wrapped at words on a terminal, one line for each sentence in a log."""
        if self.is_terminal:
            self._console.print(Padding(Text.from_markup(markup), (0, 0, 0, 4)), soft_wrap=False)
        else:
            self._console.print(f"    {markup}")

    @contextlib.contextmanager
    def progress(self, what: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """A bar that the caller moves; in plain text, a line for each quarter."""
        if self._bars is not None:
            bars = self._bars
            task = bars.add_task(what, total=total_bytes)
            yield lambda done_bytes: bars.update(task, completed=done_bytes)
            bars.remove_task(task)
            return
        shown = 0

        def line(done_bytes: int) -> None:
            nonlocal shown
            quarter = _LINES_PER_BAR * done_bytes // max(total_bytes, 1)
            if quarter > shown:
                shown = quarter
                self.note(f"{what}: {format_bytes(done_bytes)} of {format_bytes(total_bytes)}")

        yield line

    def summary(self, report: DemoReport, names: dict[str, str], seconds: float) -> None:
        """The table at the end. `names` tells the models' names by key."""
        table = Table(title="What was seen", title_justify="left", show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        start = report.cold_start_seconds
        if start.uncached is not None:
            table.add_row("start without the cache", f"{start.uncached:.2f} s")
        if start.cached is not None:
            faster = f", {start.uncached / start.cached:.0f} times as fast" if start.uncached else ""
            table.add_row("start with the cache", f"{start.cached:.2f} s{faster}")
        table.add_row("the model", f"{escape(report.model.uri)}, {format_bytes(report.model.bytes_total)}")
        table.add_row("its digest", escape(report.model.digest))
        table.add_row("served by S3", f"{format_bytes(report.s3.bytes)} in {report.s3.get_requests} GETs")
        for number, row in enumerate(eviction_rows(report.evictions, names)):
            table.add_row("evictions" if number == 0 else "", escape(row))
        self._console.print(table)
        good = sum(step.ok for step in report.steps)
        verdict = "[bold green]All is well[/bold green]" if report.ok else "[bold red]Not all is well[/bold red]"
        self._console.print(f"\n{verdict}: {good} of {len(report.steps)} steps, {seconds:.0f} s.")


def eviction_rows(evictions: list[EvictionReport], names: dict[str, str]) -> list[str]:
    """One line for each model and reason, with the nodes that it had to leave, in the order of the first of them."""
    nodes: dict[tuple[str, str], list[str]] = {}
    for eviction in evictions:
        name = names.get(eviction.key, eviction.key)
        nodes.setdefault((name, eviction.reason), []).append(eviction.node)
    return [f"{name} left {', '.join(left)}: {reason}" for (name, reason), left in nodes.items()]
