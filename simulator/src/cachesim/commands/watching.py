"""One run that somebody watches: told in words (`--replay`), drawn as a page (`--report`), or both."""

from __future__ import annotations

import pathlib

from cachesim.cluster import SimulatedCluster
from cachesim.commands.replaying import Stopped, TerminalReplay
from cachesim.commands.reporting import Reporter
from cachesim.simulation.run import Options, Progress, Run, simulate
from cachesim.simulation.scenario import Scenario


def simulate_watched(
    scenario: Scenario,
    seed: int,
    options: Options,
    *,
    command: str,
    report: pathlib.Path | None,
    replay: bool,
    progress: Progress | None,
) -> Run | None:
    """The run; None when the person who watched it stopped it. `command` is what runs it again."""
    reporter = None if report is None else Reporter(report)
    teller = TerminalReplay() if replay else None

    def observe(cluster: SimulatedCluster) -> None:
        for watcher in (reporter, teller):
            if watcher is not None:
                watcher.attach(cluster)

    try:
        done = simulate(scenario, seed, options, progress=None if replay else progress, observe=observe)
    except Stopped:
        return None
    if teller is not None:
        teller.end()
    if reporter is not None:
        reporter.write(done.outcome, scenario, command, done.last_lines)
    return done
