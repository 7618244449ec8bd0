"""What was measured, as JSON and as lines for a person. Pure.

Other work on the machine changes from minute to minute, so ratios are taken within a round and their median is shown.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

import msgspec

SCHEMA = "localmodel.download/v1"
OURS = "ours"
# The best of these two is the peer to be ahead of.
BEST_OF = ("s5cmd", "rclone")
BEST = "best of s5cmd and rclone"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One client in one round. `error` is "" when all files came; then and only then the numbers count.

    - seconds: until the process ended
    - work_seconds: without the start of the interpreter, for a client in Python; otherwise the same
    - durable_seconds: until the process ended and the file system was synced
    - verified: whether the agent's copy was read again and is what the server has; null when it was not read
    """

    client: str
    workload: str
    round: int
    size_bytes: int
    seconds: float
    work_seconds: float
    durable_seconds: float
    cpu_seconds: float
    work_cpu_seconds: float
    peak_rss_bytes: int
    verified: bool | None = None
    error: str = ""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    low: float
    median: float
    high: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """All rounds of one client on one workload."""

    client: str
    workload: str
    rounds: int
    work_seconds: Spread
    gigabytes_per_second: Spread
    work_gigabytes_per_second: Spread
    durable_gigabytes_per_second: Spread
    cpu_seconds_per_gigabyte: Spread
    work_cpu_seconds_per_gigabyte: Spread
    peak_rss_bytes: int
    verified: bool | None


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """How many times as fast ours was as another, in the median round: by each of the three times."""

    workload: str
    other: str
    rounds: int
    work: float
    process: float
    durable: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    schema: str = SCHEMA
    processors: int
    scale: float
    samples: tuple[Sample, ...]
    summaries: tuple[Summary, ...]
    ratios: tuple[Ratio, ...]
    left_out: dict[str, str] = {}


def make_result(samples: Sequence[Sample], *, processors: int, scale: float, left_out: dict[str, str]) -> Result:
    return Result(
        processors=processors,
        scale=scale,
        samples=tuple(samples),
        summaries=tuple(summaries(samples)),
        ratios=tuple(ratios(samples)),
        left_out=left_out,
    )


def summaries(samples: Sequence[Sample]) -> Iterator[Summary]:
    """For each workload and client that ended well at least once, in the order in which they were measured."""
    for workload in _unique(sample.workload for sample in samples):
        for client in _unique(sample.client for sample in samples):
            good = [one for one in samples if (one.workload, one.client, one.error) == (workload, client, "")]
            if good:
                yield _summary(good)


def _summary(good: list[Sample]) -> Summary:
    def speed(seconds: Callable[[Sample], float]) -> Spread:
        return _spread([one.size_bytes / 1e9 / seconds(one) for one in good])

    def cost(seconds: Callable[[Sample], float]) -> Spread:
        return _spread([seconds(one) / (one.size_bytes / 1e9) for one in good])

    checked = [one.verified for one in good if one.verified is not None]
    return Summary(
        client=good[0].client,
        workload=good[0].workload,
        rounds=len(good),
        work_seconds=_spread([one.work_seconds for one in good]),
        gigabytes_per_second=speed(lambda one: one.seconds),
        work_gigabytes_per_second=speed(lambda one: one.work_seconds),
        durable_gigabytes_per_second=speed(lambda one: one.durable_seconds),
        cpu_seconds_per_gigabyte=cost(lambda one: one.cpu_seconds),
        work_cpu_seconds_per_gigabyte=cost(lambda one: one.work_cpu_seconds),
        peak_rss_bytes=max(one.peak_rss_bytes for one in good),
        verified=all(checked) if checked else None,
    )


def _spread(values: list[float]) -> Spread:
    return Spread(low=min(values), median=statistics.median(values), high=max(values))


def ratios(samples: Sequence[Sample]) -> Iterator[Ratio]:
    """Ours against each other client, and against the best of two, over the rounds that both ended well."""
    good = {(one.workload, one.round, one.client): one for one in samples if not one.error}
    clients = [client for client in _unique(sample.client for sample in samples) if client != OURS]
    for workload in _unique(sample.workload for sample in samples):
        ours = [one for one in good.values() if (one.workload, one.client) == (workload, OURS)]
        others: dict[str, tuple[str, ...]] = {client: (client,) for client in clients}
        if all(client in clients for client in BEST_OF):
            others[BEST] = BEST_OF
        for name, group in others.items():
            found = [
                (one, [good[workload, one.round, other] for other in group])
                for one in ours
                if all((workload, one.round, other) in good for other in group)
            ]
            if found:
                yield Ratio(
                    workload=workload,
                    other=name,
                    rounds=len(found),
                    work=_median_ratio(found, lambda one: one.work_seconds),
                    process=_median_ratio(found, lambda one: one.seconds),
                    durable=_median_ratio(found, lambda one: one.durable_seconds),
                )


def _median_ratio(found: list[tuple[Sample, list[Sample]]], seconds: Callable[[Sample], float]) -> float:
    return round(statistics.median(min(map(seconds, others)) / seconds(ours) for ours, others in found), 3)


def _unique(names: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(names))


_COLUMNS = "{:<15} {:>8} {:>22} {:>8} {:>8} {:>9} {:>10} {:>8}  {}"


def lines_of(result: Result) -> Iterator[str]:
    """The result for a person: GB is 10^9 bytes, MB 10^6."""
    for workload in _unique(sample.workload for sample in result.samples):
        samples = [one for one in result.samples if one.workload == workload]
        yield f"{workload}: {samples[0].size_bytes / 1e9:.2f} GB, rounds: {max(one.round for one in samples) + 1}"
        yield _COLUMNS.format(
            "", "seconds", "GB/s (min med max)", "to exit", "durable", "CPU s/GB", "with start", "peak MB", ""
        )
        for found in result.summaries:
            if found.workload == workload:
                yield _line(found)
        for one in samples:
            if one.error:
                yield f"  {one.client} failed in round {one.round + 1}: {one.error}"
        yield from (_ratio_line(ratio) for ratio in result.ratios if ratio.workload == workload)
    for client, why in result.left_out.items():
        yield f"left out: {client}: {why}"


def _line(found: Summary) -> str:
    work = found.work_gigabytes_per_second
    speeds = "  ".join(_number(speed) for speed in (work.low, work.median, work.high))
    verified = {None: "", True: "verified", False: "NOT what the server has"}[found.verified]
    return _COLUMNS.format(
        found.client,
        _number(found.work_seconds.median),
        speeds,
        _number(found.gigabytes_per_second.median),
        _number(found.durable_gigabytes_per_second.median),
        _number(found.work_cpu_seconds_per_gigabyte.median),
        _number(found.cpu_seconds_per_gigabyte.median),
        f"{found.peak_rss_bytes / 1e6:.0f}",
        verified,
    ).rstrip()


def _number(value: float) -> str:
    """Three digits that count, or two places: many small files are few bytes."""
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def _ratio_line(ratio: Ratio) -> str:
    return (
        f"  {ratio.work:.2f} x {ratio.other} ({ratio.process:.2f} with the start of the process, "
        f"{ratio.durable:.2f} until durable)"
    )
