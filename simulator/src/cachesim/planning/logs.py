"""Logs of real requests, as CSV, lines of JSON or Parquet, read into columns."""

from __future__ import annotations

import csv
import gzip
import io
import math
import pathlib
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import compress
from typing import Any, TextIO

import msgspec
import numpy as np

from cachecore.errors import InvalidInput
from cachecore.timestamps import format_timestamp
from cachesim.planning.starts import ANYWHERE, Booleans, Floats, Integers

SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".parquet")

# The year 5138 in seconds, March 1973 in milliseconds: what all numbers exceed are milliseconds.
_SECONDS_MAX = 1e11
_GAP_SECONDS_MIN = 3600.0
_GAP_INTERVALS_MIN = 20.0
_FORMS = "write Unix seconds, Unix milliseconds in every line, or ISO 8601 such as 2026-01-31T12:00:00Z"


class RequestLog(msgspec.Struct, frozen=True, kw_only=True):
    """One row for each request, by time.

    - seconds: since the first request, in ascending order
    - models, nodes: indexes into `model_names` and `node_names`; a node is ANYWHERE when the log doesn't name it
    - lifetime_seconds: how long the pod ran; not a number when the log doesn't say
    - begin_seconds: Unix time of the first request
    - duration_seconds: from the first request to the last
    - notes: what was noticed, in words
    """

    seconds: Floats
    models: Integers
    nodes: Integers
    lifetime_seconds: Floats
    model_names: tuple[str, ...]
    node_names: tuple[str, ...]
    begin_seconds: float
    duration_seconds: float
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.seconds)


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """A log as it is written: cells are text, numbers, or None. `lines` is where each row is in `path`."""

    path: str
    lines: Sequence[int]
    timestamps: Sequence[Any]
    models: Sequence[str | None]
    nodes: Sequence[str | None] | None = None
    durations: Sequence[Any] | None = None
    notes: tuple[str, ...] = ()


class _Places(msgspec.Struct, frozen=True):
    """Which column of a file is which."""

    timestamp: int
    model: int
    node: int | None
    duration: int | None


class _Row(msgspec.Struct, gc=False):
    timestamp: float | int | str
    model: str | None
    node: str | None = None
    duration: float | int | str | None = None
    duration_seconds: float | int | str | None = None


def read_requests(path: pathlib.Path) -> RequestLog:
    """Read a log in the format that its suffix tells. Raises `InvalidInput`.

    Columns: `timestamp`, `model`, and when it has them `node`, `duration` (also called `duration_seconds`).
    """
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise InvalidInput(f"{path}: no log of requests by its name: give a file that ends in {', '.join(SUFFIXES)}")
    if name.endswith(".parquet"):
        return make_log(_parquet_columns(path))
    return make_log(_csv_columns(path) if ".csv" in name[-7:] else _json_columns(path))


def make_log(columns: Columns) -> RequestLog:
    """Check the cells, sort the rows by time, and note what is odd. Raises `InvalidInput`."""
    columns, notes = _with_models(columns)
    unix_seconds, more = _unix_seconds(columns)
    lifetimes = _lifetimes(columns)
    model_names, models = _indexed([(name or "").strip() for name in columns.models])
    nodes = np.full(len(unix_seconds), ANYWHERE, dtype=np.int64)
    node_names: tuple[str, ...] = ()
    if columns.nodes is not None:
        node_names, nodes = _indexed([(name or "").strip() for name in columns.nodes])
    out_of_order = int(np.sum(unix_seconds < np.maximum.accumulate(unix_seconds)))
    order = np.argsort(unix_seconds, kind="stable")
    begin = float(unix_seconds[order[0]])
    seconds = unix_seconds[order] - begin
    log = RequestLog(
        seconds=seconds,
        models=models[order],
        nodes=nodes[order],
        lifetime_seconds=lifetimes[order],
        model_names=model_names,
        node_names=node_names,
        begin_seconds=begin,
        duration_seconds=float(seconds[-1]),
    )
    if out_of_order:
        more.append(f"lines out of order, and sorted: {out_of_order}")
    return msgspec.structs.replace(log, notes=(*columns.notes, *notes, *more, *_repeated(log), *_gap(log)))


def unix_seconds_of(text: str) -> float:
    """Of a time in ISO 8601, which is UTC unless it says otherwise. Raises `ValueError`."""
    return _unix(datetime.fromisoformat(text))


def _unix(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _with_models(columns: Columns) -> tuple[Columns, list[str]]:
    """Without the rows that name no model."""
    if not columns.models:
        raise InvalidInput(f"{columns.path}: 0 requests: give a log with one line for each request")
    named = [bool(name and name.strip()) for name in columns.models]
    left_out = named.count(False)
    if not left_out:
        return columns, []
    if left_out == len(named):
        raise InvalidInput(f"{columns.path}: 0 requests that name a model: fill the column 'model'")
    kept = msgspec.structs.replace(
        columns,
        lines=list(compress(columns.lines, named)),
        timestamps=list(compress(columns.timestamps, named)),
        models=list(compress(columns.models, named)),
        nodes=None if columns.nodes is None else list(compress(columns.nodes, named)),
        durations=None if columns.durations is None else list(compress(columns.durations, named)),
    )
    return kept, [f"lines without a model, and left out: {left_out}"]


def _unix_seconds(columns: Columns) -> tuple[Floats, list[str]]:
    """The time of each row, and what was noticed."""
    try:
        seconds = np.array(list(map(float, columns.timestamps)), dtype=np.float64)
        are_numbers = np.ones(len(seconds), dtype=bool)
        zoneless = 0
    except (TypeError, ValueError, OverflowError):
        seconds, are_numbers, zoneless = _unix_seconds_one_by_one(columns)
    if are_numbers.any() and np.all(seconds[are_numbers] > _SECONDS_MAX):
        seconds[are_numbers] /= 1000.0
    # What is no number at all compares as false, and is refused too.
    wrong = np.flatnonzero(~((seconds >= 0.0) & (seconds <= _SECONDS_MAX)))
    if len(wrong):
        raise _unreadable_timestamp(columns, int(wrong[0]))
    return seconds, [f"timestamps without a time zone, taken as UTC: {zoneless}"] if zoneless else []


def _unix_seconds_one_by_one(columns: Columns) -> tuple[Floats, Booleans, int]:
    seconds = np.empty(len(columns.timestamps), dtype=np.float64)
    are_numbers = np.zeros(len(seconds), dtype=bool)
    zoneless = 0
    for row, value in enumerate(columns.timestamps):
        try:
            seconds[row] = float(value)
            are_numbers[row] = True
            continue
        except (TypeError, ValueError, OverflowError):
            pass
        try:
            moment = datetime.fromisoformat(value.strip())
        except (AttributeError, ValueError):
            raise _unreadable_timestamp(columns, row) from None
        zoneless += moment.tzinfo is None
        seconds[row] = _unix(moment)
    return seconds, are_numbers, zoneless


def _unreadable_timestamp(columns: Columns, row: int) -> InvalidInput:
    shown = repr(columns.timestamps[row])[:60]
    return InvalidInput(f"{columns.path}:{columns.lines[row]}: can't read the timestamp {shown}: {_FORMS}")


def _lifetimes(columns: Columns) -> Floats:
    lifetimes = np.full(len(columns.timestamps), math.nan)
    for row, value in enumerate(columns.durations or ()):
        try:
            seconds = math.nan if value is None or value == "" else float(value)
        except (TypeError, ValueError, OverflowError):
            seconds = math.inf
        if seconds < 0.0 or seconds == math.inf:
            what = "is negative" if math.isfinite(seconds) else "is no number"
            raise InvalidInput(
                f"{columns.path}:{columns.lines[row]}: the duration {value!r} {what}: write for how many seconds the "
                "pod ran, or nothing"
            )
        lifetimes[row] = seconds
    return lifetimes


def _indexed(names: Sequence[str]) -> tuple[tuple[str, ...], Integers]:
    """The names that there are, sorted, and the index of each; ANYWHERE for an empty one."""
    present = sorted(set(names) - {""})
    indexes = {name: index for index, name in enumerate(present)} | {"": ANYWHERE}
    return tuple(present), np.fromiter(map(indexes.__getitem__, names), dtype=np.int64, count=len(names))


def _repeated(log: RequestLog) -> list[str]:
    columns = (np.nan_to_num(log.lifetime_seconds, nan=-1.0), log.nodes, log.models, log.seconds)
    order = np.lexsort(columns)
    same = np.ones(max(len(log) - 1, 0), dtype=bool)
    for column in columns:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    count = int(same.sum())
    return [f"lines that repeat another, and are kept: {count}"] if count else []


def _gap(log: RequestLog) -> list[str]:
    gaps = np.diff(log.seconds)
    if not len(gaps):
        return []
    longest = int(np.argmax(gaps))
    seconds = float(gaps[longest])
    mean_seconds = log.duration_seconds / len(gaps)
    if seconds <= _GAP_SECONDS_MIN or seconds <= _GAP_INTERVALS_MIN * mean_seconds:
        return []
    begin = format_timestamp(log.begin_seconds + float(log.seconds[longest]))
    return [f"a gap: no request for {seconds / 3600.0:.1f} h from {begin} on"]


def _places(where: str, names: Sequence[str]) -> _Places:
    lowered = [name.strip().lower() for name in names]
    for needed in ("timestamp", "model"):
        if needed not in lowered:
            raise _missing_column(where, needed, names)
    at = {name: place for place, name in reversed(list(enumerate(lowered)))}
    return _Places(at["timestamp"], at["model"], at.get("node"), at.get("duration", at.get("duration_seconds")))


def _missing_column(where: str, needed: str, names: Sequence[str]) -> InvalidInput:
    present = ", ".join(" ".join(name.split()) for name in names) or "none"
    return InvalidInput(f"{where}: no column {needed!r}: the columns are {present}; rename the one that is meant")


@contextmanager
def _opened(path: pathlib.Path) -> Iterator[TextIO]:
    """The text of a file, unpacked. Errors of reading, whenever they come, are those of a person."""
    try:
        with _unpacked(path) as content, io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as stream:
            try:
                yield stream
            except UnicodeDecodeError as error:
                line = _line_of_other_bytes(path)
                raise InvalidInput(f"{path}:{line}: bytes that are no UTF-8: write the log anew in UTF-8") from error
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise InvalidInput(f"{path}: cannot be unpacked: {error}; copy the file again") from error


def _unpacked(path: pathlib.Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def _line_of_other_bytes(path: pathlib.Path) -> int:
    # A stream of text decodes a block at a time, and does not know the line.
    with _unpacked(path) as stream:
        lines = enumerate(stream, 1)
        return next((number for number, line in lines if line.decode("utf-8", "ignore").encode() != line), 1)


def _csv_columns(path: pathlib.Path) -> Columns:
    lines: list[int] = []
    timestamps: list[str] = []
    models: list[str] = []
    nodes: list[str] = []
    durations: list[str] = []
    with _opened(path) as stream:
        reader = csv.reader(stream, strict=True)
        try:
            header = next((row for row in reader if row), None)
            if header is None:
                raise InvalidInput(f"{path}: 0 requests: give a log with a header and one line for each request")
            places = _places(f"{path}:{reader.line_num}", header)
            for row in reader:
                if len(row) != len(header):
                    if not row:
                        continue
                    raise InvalidInput(
                        f"{path}:{reader.line_num}: {len(row)} fields where the header has {len(header)}: "
                        "put text that has a comma in quotes"
                    )
                lines.append(reader.line_num)
                timestamps.append(row[places.timestamp])
                models.append(row[places.model])
                if places.node is not None:
                    nodes.append(row[places.node])
                if places.duration is not None:
                    durations.append(row[places.duration])
        except csv.Error as error:
            raise InvalidInput(
                f"{path}:{reader.line_num}: no CSV: {error}; look for a quote without its end"
            ) from error
    return Columns(
        path=str(path),
        lines=lines,
        timestamps=timestamps,
        models=models,
        nodes=None if places.node is None else nodes,
        durations=None if places.duration is None else durations,
    )


def _json_columns(path: pathlib.Path) -> Columns:
    decode = msgspec.json.Decoder(_Row).decode
    lines: list[int] = []
    rows: list[_Row] = []
    with _opened(path) as stream:
        for number, line in enumerate(stream, 1):
            if line.isspace():
                continue
            try:
                rows.append(decode(line))
            except (msgspec.DecodeError, RecursionError) as error:
                raise _json_mistake(f"{path}:{number}", line, error) from error
            lines.append(number)
    return Columns(
        path=str(path),
        lines=lines,
        timestamps=[row.timestamp for row in rows],
        models=[row.model for row in rows],
        nodes=[row.node for row in rows],
        durations=[row.duration_seconds if row.duration is None else row.duration for row in rows],
    )


def _json_mistake(where: str, line: str, error: Exception) -> InvalidInput:
    found: object = None
    with suppress(msgspec.DecodeError, RecursionError):
        found = msgspec.json.decode(line)
    if not isinstance(found, dict):
        return InvalidInput(f"{where}: no JSON object: {error}; write one object a line")
    for needed in ("timestamp", "model"):
        if needed not in found:
            return _missing_column(where, needed, list(found))
    return InvalidInput(f"{where}: {error}; write times and durations as numbers or text, names as text")


def _parquet_columns(path: pathlib.Path) -> Columns:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InvalidInput(f"{path}: Parquet needs pyarrow: install localmodel-simulator[parquet]") from error
    notes: tuple[str, ...] = ()
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            at = _places(str(path), names)
            table = file.read(columns=[names[place] for place in msgspec.structs.astuple(at) if place is not None])
        timestamps = table.column(names[at.timestamp])
        if pyarrow.types.is_timestamp(timestamps.type):
            if timestamps.type.tz is None:
                notes = (f"timestamps without a time zone, taken as UTC: {len(timestamps)}",)
            scale = {"s": 1e0, "ms": 1e3, "us": 1e6, "ns": 1e9}[timestamps.type.unit]
            counts = timestamps.cast(pyarrow.int64()).to_pylist()
            cells = [None if count is None else count / scale for count in counts]
        else:
            cells = timestamps.to_pylist()
        text = pyarrow.string()
        return Columns(
            path=str(path),
            lines=range(1, len(cells) + 1),
            timestamps=cells,
            models=table.column(names[at.model]).cast(text).to_pylist(),
            nodes=None if at.node is None else table.column(names[at.node]).cast(text).to_pylist(),
            durations=None if at.duration is None else table.column(names[at.duration]).to_pylist(),
            notes=notes,
        )
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise InvalidInput(f"{path}: cannot be read as Parquet: {' '.join(str(error).split())}") from error
