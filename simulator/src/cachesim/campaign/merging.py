"""Putting the parts of a campaign together that ran on several machines, each with seeds of its own."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from cachecore.errors import InvalidInput
from cachesim.campaign.campaign import SOMETIMES_PLANS
from cachesim.simulation.outcome import SCHEMA, ColdStarts, Outcome
from cachesim.simulation.seeds import SeedRange, missing_between, parse_seeds, seed_ranges

# How `--json -` begins the one line that it writes; whatever else is in a pod's log begins differently.
_LINE_START = b'{"schema":'


class Part(msgspec.Struct, frozen=True):
    """One outcome, and where it was found."""

    where: str
    outcome: Outcome

    @property
    def ranges(self) -> tuple[SeedRange, ...]:
        """The outcome of a single run names its seed alone."""
        words = (self.outcome.seeds or str(self.outcome.seed)).split(",")
        return tuple(parse_seeds(word) for word in words)


class _Header(msgspec.Struct, frozen=True):
    schema: str


def decode_parts(where: str, content: bytes) -> list[Part]:
    """The outcomes in a file that `--json FILE` wrote, or in the logs of pods. Raises `InvalidInput`."""
    documents = [content] if _is_document(content) else _lines_with_outcomes(content)
    if not documents:
        raise InvalidInput(f"{where}: there is no outcome of localmodel simulate in it")
    return [Part(where, _decode(where, document)) for document in documents]


def _is_document(content: bytes) -> bool:
    try:
        msgspec.json.decode(content, type=dict)
    except msgspec.DecodeError:
        return False
    return True


def _lines_with_outcomes(content: bytes) -> list[bytes]:
    return [line for line in content.splitlines() if line.startswith(_LINE_START)]


def _decode(where: str, document: bytes) -> Outcome:
    try:
        schema = msgspec.json.decode(document, type=_Header).schema
        if schema != SCHEMA:
            raise InvalidInput(f"{where}: its schema is {schema}, and only {SCHEMA} can be merged")
        return msgspec.json.decode(document, type=Outcome)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{where}: no outcome of localmodel simulate, or not all of it: {error}") from error


def merge(parts: Sequence[Part], wanted: SeedRange | None = None) -> Outcome:
    """One outcome for all seeds: numbers are sums, and missed is only what every part has missed.

    Percentiles can't be had from percentiles: those of the parts are averaged, weighted by their pod starts. Raises
    `InvalidInput` when the parts are of several scenarios, or seeds are in two parts, in none between the first and the
    last one, or in none of those `wanted`.
    """
    ordered = sorted(parts, key=lambda part: part.ranges)
    _refuse_other_scenarios(ordered)
    _refuse_overlaps(ordered)
    _refuse_gaps(ordered, wanted)
    outcomes = [part.outcome for part in ordered]
    plans = sum(outcome.plans for outcome in outcomes)
    violations = tuple(violation for outcome in outcomes for violation in outcome.violations)
    missed = tuple(name for name in outcomes[0].missed if all(name in outcome.missed for outcome in outcomes))
    return Outcome(
        ok=not violations and not (missed and plans >= SOMETIMES_PLANS),
        scenario=outcomes[0].scenario,
        scenario_digest=outcomes[0].scenario_digest,
        seed=min(outcome.seed for outcome in outcomes),
        seeds=",".join(map(str, _joined(ordered))),
        events=sum(outcome.events for outcome in outcomes),
        virtual_seconds=round(sum(outcome.virtual_seconds for outcome in outcomes), 6),
        wall_seconds=round(sum(outcome.wall_seconds for outcome in outcomes), 3),
        event_log_hash=_hash_of_hashes(outcomes),
        violations=violations,
        cold_starts=_all_starts([outcome.cold_starts for outcome in outcomes]),
        bytes_fetched=sum(outcome.bytes_fetched for outcome in outcomes),
        evictions=sum(outcome.evictions for outcome in outcomes),
        plans=plans,
        sometimes=_sum_of_counts(outcomes),
        missed=missed,
        failures=tuple(failure for outcome in outcomes for failure in outcome.failures),
    )


def _refuse_other_scenarios(parts: Sequence[Part]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.outcome.scenario != first.outcome.scenario:
            raise InvalidInput(
                f"{part.where} is of scenario {part.outcome.scenario}, {first.where} of {first.outcome.scenario}: "
                "only parts of one campaign can be merged"
            )
        if part.outcome.scenario_digest != first.outcome.scenario_digest:
            raise InvalidInput(
                f"{part.where} and {first.where} are of two versions of scenario {first.outcome.scenario}: "
                "run one of the parts again"
            )


def _refuse_overlaps(parts: Sequence[Part]) -> None:
    owned = sorted((found, part.where) for part in parts for found in part.ranges)
    for (before, its_place), (after, place) in itertools.pairwise(owned):
        if after.first <= before.last:
            common = SeedRange(after.first, min(before.last, after.last))
            raise InvalidInput(f"seeds {common} are in two parts ({its_place}, {place}): leave one of them out")


def _refuse_gaps(parts: Sequence[Part], wanted: SeedRange | None) -> None:
    ranges = [found for part in parts for found in part.ranges]
    if wanted is not None:
        ranges += [SeedRange(wanted.first - 1, wanted.first - 1), SeedRange(wanted.last + 1, wanted.last + 1)]
    if missing := missing_between(ranges):
        words = ",".join(map(str, missing))
        raise InvalidInput(f"seeds {words} are in no part: run them (--seeds {missing[0]}) and merge them too")


def _joined(parts: Iterable[Part]) -> tuple[SeedRange, ...]:
    return seed_ranges(
        itertools.chain.from_iterable(range(one.first, one.last + 1) for part in parts for one in part.ranges)
    )


def _hash_of_hashes(outcomes: Sequence[Outcome]) -> str:
    hashes = "".join(f"{outcome.seeds or outcome.seed} {outcome.event_log_hash}\n" for outcome in outcomes)
    return f"sha256:{hashlib.sha256(hashes.encode()).hexdigest()}"


def _sum_of_counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(outcome.sometimes)
    return {name: counts[name] for name in sorted(counts)}


def _all_starts(starts: Sequence[ColdStarts]) -> ColdStarts:
    count = sum(one.count for one in starts)

    def weighted(amounts: Iterable[float]) -> float:
        total = sum(amount * one.count for amount, one in zip(amounts, starts, strict=True))
        return round(total / count, 6) if count else 0.0

    return ColdStarts(
        count=count,
        hit_ratio=weighted(one.hit_ratio for one in starts),
        p50_seconds=weighted(one.p50_seconds for one in starts),
        p99_seconds=weighted(one.p99_seconds for one in starts),
    )
