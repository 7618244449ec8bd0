"""Size is a ratchet: what has grown too long is taken apart, not excused."""

from __future__ import annotations

import ast
from pathlib import Path

MAX_FUNCTION_LINES = 70
MAX_MODULE_LINES = 400


def test_modules_stay_short(repository: Path, all_modules: list[Path]) -> None:
    too_long = {
        str(path.relative_to(repository)): lines
        for path in all_modules
        if (lines := len(path.read_text().splitlines())) > MAX_MODULE_LINES
    }
    assert too_long == {}


def test_functions_stay_short(repository: Path, all_modules: list[Path]) -> None:
    too_long = {
        f"{path.relative_to(repository)}:{node.lineno} {node.name}": lines
        for path in all_modules
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert too_long == {}
