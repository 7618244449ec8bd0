"""Logs of requests are read from three formats, and a mistake is answered with file, line and what to do."""

from __future__ import annotations

import gzip
import pathlib
import sys

import numpy as np
import pytest

from cachecore.errors import InvalidInput
from cachesim.planning.logs import RequestLog, read_requests

CSV = "timestamp,model,node,duration\n1700000000,llama,n1,60\n1700000030.5,qwen,n2,\n1700000090,llama,,5\n"
JSON = """\
{"timestamp": 1700000000, "model": "llama", "node": "n1", "duration": 60}
{"timestamp": 1700000030.5, "model": "qwen", "node": "n2", "other": [1]}

{"timestamp": "1700000090", "model": "llama", "duration": 5}
"""


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Where the test is, so that messages name files as they are given."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(folder: pathlib.Path, content: str | bytes, name: str = "log.csv") -> RequestLog:
    path = pathlib.Path(name)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_requests(path)


def mistake(folder: pathlib.Path, content: str | bytes, name: str = "log.csv") -> str:
    with pytest.raises(InvalidInput) as refused:
        read(folder, content, name)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def parquet(columns: dict[str, object], name: str = "log.parquet") -> pathlib.Path:
    pyarrow = pytest.importorskip("pyarrow")
    writer = pytest.importorskip("pyarrow.parquet")
    writer.write_table(pyarrow.table(columns), name)
    return pathlib.Path(name)


def check_rows(log: RequestLog) -> None:
    assert log.seconds.tolist() == [0.0, 30.5, 90.0]
    assert [log.model_names[index] for index in log.models] == ["llama", "qwen", "llama"]
    assert log.nodes.tolist() == [0, 1, -1]
    assert np.array_equal(log.lifetime_seconds, [60.0, np.nan, 5.0], equal_nan=True)
    assert (log.node_names, log.begin_seconds, log.duration_seconds) == (("n1", "n2"), 1.7e9, 90.0)
    assert log.notes == ()


@pytest.mark.parametrize("name", ["log.csv", "2026.01.CSV"])
def test_a_csv_is_read(folder: pathlib.Path, name: str) -> None:
    check_rows(read(folder, CSV, name))


@pytest.mark.parametrize("name", ["log.jsonl", "log.ndjson"])
def test_lines_of_json_are_read(folder: pathlib.Path, name: str) -> None:
    check_rows(read(folder, JSON, name))


@pytest.mark.parametrize("name, text", [("log.csv.gz", CSV), ("log.jsonl.gz", JSON), ("log.ndjson.gz", JSON)])
def test_packed_files_are_read(folder: pathlib.Path, name: str, text: str) -> None:
    check_rows(read(folder, gzip.compress(text.encode()), name))


def test_a_parquet_file_is_read(folder: pathlib.Path) -> None:
    path = parquet(
        {
            "timestamp": [1700000000, 1700000030.5, 1700000090],
            "model": ["llama", "qwen", "llama"],
            "node": ["n1", "n2", None],
            "duration": [60, None, 5],
            "other": [1, 2, 3],
        }
    )
    check_rows(read_requests(path))


def test_a_parquet_file_may_hold_moments(folder: pathlib.Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    moments = pyarrow.array([1_700_000_000_000, 1_700_000_001_500], type=pyarrow.timestamp("ms", tz="Europe/Vienna"))
    log = read_requests(parquet({"timestamp": moments, "model": ["a", "b"]}))
    assert (log.begin_seconds, log.seconds.tolist(), log.notes) == (1.7e9, [0.0, 1.5], ())


def test_moments_of_parquet_without_a_zone_are_noted(folder: pathlib.Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    moments = pyarrow.array([1_700_000_000], type=pyarrow.timestamp("s"))
    assert read_requests(parquet({"timestamp": moments, "model": ["a"]})).notes == (
        "timestamps without a time zone, taken as UTC: 1",
    )


def test_other_columns_blank_lines_and_a_byte_order_mark_do_no_harm(folder: pathlib.Path) -> None:
    log = read(folder, '\ufeffTimestamp , x,model\r\n\r\n5,"1,2",a\r\n\r\n7,3,b\r\n')
    assert (log.seconds.tolist(), log.model_names, log.nodes.tolist()) == ([0.0, 2.0], ("a", "b"), [-1, -1])


def test_duration_seconds_is_another_name_for_duration(folder: pathlib.Path) -> None:
    assert read(folder, "timestamp,model,duration_seconds\n1,a,9\n").lifetime_seconds.tolist() == [9.0]
    line = '{"timestamp":1,"model":"a","duration_seconds":9}\n'
    assert read(folder, line, "log.jsonl").lifetime_seconds.tolist() == [9.0]


def test_timestamps_may_be_iso_8601(folder: pathlib.Path) -> None:
    log = read(folder, "timestamp,model\n2026-01-31T12:00:00Z,a\n2026-01-31T14:00:01.5+02:00,a\n")
    assert (log.begin_seconds, log.seconds.tolist(), log.notes) == (1769860800.0, [0.0, 1.5], ())


def test_a_time_without_a_zone_is_utc_and_noted(folder: pathlib.Path) -> None:
    log = read(folder, "timestamp,model\n2026-01-31 12:00:00,a\n1769860801,a\n")
    assert (log.begin_seconds, log.seconds.tolist()) == (1769860800.0, [0.0, 1.0])
    assert log.notes == ("timestamps without a time zone, taken as UTC: 1",)


def test_milliseconds_are_recognised_when_all_numbers_are_large(folder: pathlib.Path) -> None:
    log = read(folder, "timestamp,model\n1700000000000,a\n1700000001500,a\n")
    assert (log.begin_seconds, log.seconds.tolist()) == (1.7e9, [0.0, 1.5])


def test_milliseconds_among_seconds_are_refused(folder: pathlib.Path) -> None:
    assert mistake(folder, "timestamp,model\n1700000000,a\n1700000001500,a\n").startswith(
        "log.csv:3: can't read the timestamp '1700000001500': write Unix seconds, Unix milliseconds in every line, or"
    )


def test_lines_out_of_order_are_sorted_and_counted(folder: pathlib.Path) -> None:
    log = read(folder, "timestamp,model,duration\n10,a,1\n5,b,2\n20,c,3\n7,d,4\n")
    assert [log.model_names[index] for index in log.models] == ["b", "d", "a", "c"]
    assert (log.seconds.tolist(), log.lifetime_seconds.tolist()) == ([0.0, 2.0, 5.0, 15.0], [2.0, 4.0, 1.0, 3.0])
    assert log.notes == ("lines out of order, and sorted: 2",)


def test_a_long_gap_is_noted_with_its_begin_and_length(folder: pathlib.Path) -> None:
    lines = [f"{moment},a" for moment in (*range(0, 3000, 60), *range(90_000, 93_000, 60))]
    assert read(folder, "\n".join(["timestamp,model", *lines])).notes == (
        "a gap: no request for 24.2 h from 1970-01-01T00:49:00Z on",
    )


def test_an_hour_is_no_gap(folder: pathlib.Path) -> None:
    lines = [f"{moment},a" for moment in (*range(3000), 6599)]
    assert read(folder, "\n".join(["timestamp,model", *lines])).notes == ()


def test_a_log_of_few_requests_has_no_gap(folder: pathlib.Path) -> None:
    assert read(folder, "timestamp,model\n0,a\n60,a\n90000,a\n").notes == ()


def test_lines_that_repeat_another_are_kept_and_counted(folder: pathlib.Path) -> None:
    log = read(folder, "timestamp,model,node\n1,a,n\n1,a,m\n1,a,n\n1,b,n\n1,a,n\n")
    assert (len(log), log.notes) == (5, ("lines that repeat another, and are kept: 2",))


def test_lines_without_a_model_are_left_out_and_counted(folder: pathlib.Path) -> None:
    log = read(folder, "timestamp,model,node,duration\nnever, ,n,x\n1,a,m,2\n")
    assert (len(log), log.node_names, log.notes) == (1, ("m",), ("lines without a model, and left out: 1",))
    log = read(folder, '{"timestamp":1,"model":null}\n{"timestamp":1,"model":"a"}\n', "log.jsonl")
    assert (len(log), log.notes) == (1, ("lines without a model, and left out: 1",))


@pytest.mark.parametrize("name, text", [("log.csv", ""), ("log.csv", "timestamp,model\n"), ("log.jsonl", "\n")])
def test_an_empty_log_is_refused(folder: pathlib.Path, name: str, text: str) -> None:
    assert mistake(folder, text, name).startswith(f"{name}: 0 requests: give a log with ")


def test_an_empty_parquet_file_is_refused(folder: pathlib.Path) -> None:
    with pytest.raises(InvalidInput, match="0 requests"):
        read_requests(parquet({"timestamp": [], "model": []}))


def test_a_log_where_no_line_names_a_model_is_refused(folder: pathlib.Path) -> None:
    assert mistake(folder, "timestamp,model\n1,\n") == (
        "log.csv: 0 requests that name a model: fill the column 'model'"
    )


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("log.csv", "time,model\n", "log.csv:1: no column 'timestamp': the columns are time, model; rename the one"),
        ("log.csv", "\ntimestamp,name\n", "log.csv:2: no column 'model': the columns are timestamp, name; rename"),
        ("log.jsonl", '{"timestamp":1,"uri":"a"}\n', "log.jsonl:1: no column 'model': the columns are timestamp, uri;"),
        ("log.jsonl", "{}\n", "log.jsonl:1: no column 'timestamp': the columns are none;"),
    ],
)
def test_a_missing_column_names_those_that_are_there(folder: pathlib.Path, name: str, text: str, message: str) -> None:
    assert mistake(folder, text, name).startswith(message)


def test_a_missing_column_of_a_parquet_file_names_those_that_are_there(folder: pathlib.Path) -> None:
    with pytest.raises(InvalidInput, match=r"log.parquet: no column 'model': the columns are timestamp, uri;"):
        read_requests(parquet({"timestamp": [1], "uri": ["a"]}))


@pytest.mark.parametrize("cell", ["yesterday", "", "nan", "-1", "1e300", "2026-13-01"])
def test_a_timestamp_that_cannot_be_read_names_its_line(folder: pathlib.Path, cell: str) -> None:
    assert mistake(folder, f"timestamp,model\n1,a\n\n{cell},a\n").startswith(
        f"log.csv:4: can't read the timestamp {cell!r}: write Unix seconds"
    )


def test_a_timestamp_that_is_absent_names_its_row(folder: pathlib.Path) -> None:
    with pytest.raises(InvalidInput, match=r"log.parquet:2: can't read the timestamp None"):
        read_requests(parquet({"timestamp": [1, None], "model": ["a", "a"]}))


def test_a_number_too_large_for_any_time_is_refused(folder: pathlib.Path) -> None:
    text = f'{{"timestamp":"1{"0" * 400}","model":"a"}}\n'
    assert mistake(folder, text, "log.jsonl").startswith("log.jsonl:1: can't read the timestamp")


@pytest.mark.parametrize("cell, what", [("-5", "is negative"), ("long", "is no number"), ("inf", "is no number")])
def test_a_wrong_duration_names_its_line(folder: pathlib.Path, cell: str, what: str) -> None:
    assert mistake(folder, f"timestamp,model,duration\n1,a,3\n2,a,{cell}\n") == (
        f"log.csv:3: the duration {cell!r} {what}: write for how many seconds the pod ran, or nothing"
    )


def test_a_line_with_other_fields_than_the_header_is_refused(folder: pathlib.Path) -> None:
    assert mistake(folder, "timestamp,model\n1,a\n2,a,b\n").startswith(
        "log.csv:3: 3 fields where the header has 2: put text that has a comma in quotes"
    )


def test_a_quote_without_its_end_is_refused(folder: pathlib.Path) -> None:
    assert mistake(folder, 'timestamp,model\n1,"a\n').startswith("log.csv:2: no CSV: ")


@pytest.mark.parametrize("line", ["{", "[1]", "7", "model a", '{"model": 1,', '{"x": ' + "[" * 100_000])
def test_a_line_that_is_no_object_is_refused(folder: pathlib.Path, line: str) -> None:
    text = f'{{"timestamp":1,"model":"a"}}\n{line}\n'
    assert mistake(folder, text, "log.jsonl").startswith("log.jsonl:2: no JSON object: ")


def test_a_field_of_another_type_is_refused(folder: pathlib.Path) -> None:
    message = mistake(folder, '{"timestamp":1,"model":["a"]}\n', "log.jsonl")
    assert message.startswith("log.jsonl:1: Expected `str | null`, got `array` - at `$.model`; write")


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz"])
def test_bytes_that_are_no_utf_8_name_their_line(folder: pathlib.Path, name: str) -> None:
    content = b"timestamp,model\n" + b"1,a\n" * 5000 + b"2,caf\xe9\n"
    packed = gzip.compress(content) if name.endswith(".gz") else content
    assert mistake(folder, packed, name) == f"{name}:5002: bytes that are no UTF-8: write the log anew in UTF-8"


@pytest.mark.parametrize("name", ["absent.csv", "absent.jsonl.gz"])
def test_a_file_that_is_not_there_is_one_clear_line(folder: pathlib.Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name}: cannot be read: No such file or directory"):
        read_requests(pathlib.Path(name))


def test_a_parquet_file_that_is_not_there_is_one_clear_line(folder: pathlib.Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(InvalidInput, match=r"absent.parquet: cannot be read as Parquet: .*absent.parquet"):
        read_requests(pathlib.Path("absent.parquet"))


def test_a_folder_is_no_log(folder: pathlib.Path) -> None:
    pathlib.Path("logs.csv").mkdir()
    with pytest.raises(InvalidInput, match=r"logs.csv: cannot be read: Is a directory"):
        read_requests(pathlib.Path("logs.csv"))


def test_what_is_not_packed_cannot_be_unpacked(folder: pathlib.Path) -> None:
    assert mistake(folder, CSV, "log.csv.gz").startswith("log.csv.gz: cannot be read: Not a gzipped file")


def test_a_packed_file_that_is_damaged_is_refused(folder: pathlib.Path) -> None:
    content = bytearray(gzip.compress(CSV.encode()))
    content[-8] ^= 1
    assert mistake(folder, bytes(content), "log.csv.gz").startswith("log.csv.gz: cannot be read: CRC check failed")


def test_a_packed_file_that_is_cut_off_is_refused(folder: pathlib.Path) -> None:
    assert mistake(folder, gzip.compress(CSV.encode())[:-12], "log.csv.gz").startswith(
        "log.csv.gz: cannot be unpacked: "
    )


def test_what_is_no_parquet_is_refused(folder: pathlib.Path) -> None:
    pytest.importorskip("pyarrow")
    assert mistake(folder, "x" * 100, "log.parquet").startswith("log.parquet: cannot be read as Parquet: ")


def test_without_pyarrow_a_parquet_file_says_what_to_install(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert mistake(folder, b"", "log.parquet") == (
        "log.parquet: Parquet needs pyarrow: install localmodel-simulator[parquet]"
    )


@pytest.mark.parametrize("name", ["log.txt", "log.gz", "log.parquet.gz", "log"])
def test_another_suffix_lists_those_that_are_read(folder: pathlib.Path, name: str) -> None:
    assert mistake(folder, CSV, name).endswith(
        "give a file that ends in .csv, .csv.gz, .jsonl, .jsonl.gz, .ndjson, .ndjson.gz, .parquet"
    )
