"""Wrong changes: read from files, applied to sources, imported without touching the disk."""

from __future__ import annotations

import importlib
import pathlib
import sys
from collections.abc import Iterator

import pytest

from cachecore.errors import InvalidInput
from cachesim.testing.rewriting import AlreadyImported, rewrite_at_import
from cachesim.testing.wrong_change import WrongChange, load_change

GOOD = """\
what: One is two.
module: cacheagent.parts
replace: |2-
      one = 1
by: |2-
      one = 2
invariants: [S4]
"""


def change(replace: str, by: str) -> WrongChange:
    return WrongChange(what="x", module="cacheagent.parts", replace=replace, by=by, invariants=("S4",))


@pytest.fixture
def module(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    path = tmp_path / "sample_of_a_module.py"
    path.write_text("answer = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    sys.modules.pop("sample_of_a_module", None)


def test_a_file_is_read_with_its_indentation(tmp_path: pathlib.Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    assert load_change(tmp_path / "good.yaml").replace == "    one = 1"


def test_a_change_replaces_the_one_place() -> None:
    assert change("one = 1", "one = 2").apply("a\none = 1\nb") == "a\none = 2\nb"


@pytest.mark.parametrize("source", ["nothing", "one = 1; one = 1"])
def test_a_place_that_is_not_there_once_is_refused(source: str) -> None:
    with pytest.raises(InvalidInput, match=r"cacheagent\.parts has the text of `replace` \d times"):
        change("one = 1", "one = 2").apply(source)


def test_a_change_that_changes_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="the same text"):
        change("one = 1", "one = 1").apply("one = 1")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("invariants: [S4]", "invariants: []"),
        ("invariants: [S4]", "invariants: [S11]"),
        ("module: cacheagent.parts", "module: cachesim.disk"),
        ("what: One is two.", "why: One is two."),
        ("what: One is two.", "what: ["),
    ],
)
def test_a_file_that_is_not_right_is_refused_by_its_name(tmp_path: pathlib.Path, old: str, new: str) -> None:
    (tmp_path / "bad.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(InvalidInput, match=r"bad\.yaml: "):
        load_change(tmp_path / "bad.yaml")


def test_a_missing_file_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_change(tmp_path / "none.yaml")


def test_the_module_is_imported_changed_and_the_file_stays(module: pathlib.Path) -> None:
    undo = rewrite_at_import("sample_of_a_module", lambda source: source.replace("1", "2"))
    imported = importlib.import_module("sample_of_a_module")
    undo()
    assert (imported.answer, module.read_text()) == (2, "answer = 1\n")


def test_no_compiled_code_is_left_behind(module: pathlib.Path) -> None:
    rewrite_at_import("sample_of_a_module", lambda source: source.replace("1", "2"))()
    assert importlib.import_module("sample_of_a_module").answer == 1


def test_other_modules_are_imported_as_they_are(module: pathlib.Path) -> None:
    undo = rewrite_at_import("another_module", lambda source: "answer = 3")
    imported = importlib.import_module("sample_of_a_module")
    undo()
    assert imported.answer == 1


def test_a_module_that_is_there_already_is_refused(module: pathlib.Path) -> None:
    importlib.import_module("sample_of_a_module")
    with pytest.raises(AlreadyImported):
        rewrite_at_import("sample_of_a_module", str.upper)
