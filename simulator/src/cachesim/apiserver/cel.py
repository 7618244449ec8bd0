"""CEL rules of a schema (`x-kubernetes-validations`): compiled once, evaluated where something changed."""

from __future__ import annotations

import re
from typing import Any

import cel

from cachesim.apiserver.cel_functions import KUBERNETES_FUNCTIONS
from cachesim.apiserver.errors import FieldError, invalid, render
from cachesim.apiserver.resources import JsonObject

_OLD_SELF = re.compile(r"\boldSelf\b")
_RESERVED = frozenset(
    "true false null in as break const continue else for function if import let loop package namespace return var void "
    "while".split()
)
_REASONS = {
    "FieldValueInvalid": "Invalid value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
}


# What the library raises for a rule that fails to evaluate, its own errors and those of our functions.
CEL_FAILURES = (ValueError, TypeError, KeyError, RuntimeError, IndexError, AttributeError, ArithmeticError)


class RuleError(Exception):
    """A rule that can't be compiled: the CRD that holds it is invalid."""


class CompiledRule:
    """One rule. A transition rule names oldSelf, and waits for an update unless `optionalOldSelf` is set."""

    def __init__(self, rule: JsonObject) -> None:
        self.source: str = rule["rule"]
        self._program = _compile(self.source)
        self._message: str = rule.get("message", "").strip()
        expression = rule.get("messageExpression", "")
        self._message_program = _compile(expression) if expression else None
        self._field_path: str = rule.get("fieldPath", "")
        self._reason: str = rule.get("reason") or "FieldValueInvalid"
        self.is_transition = bool(_OLD_SELF.search(self.source))
        self.optional_old_self = bool(rule.get("optionalOldSelf"))
        self.escapes = "__" in self.source + expression

    def check(self, context: cel.Context, value: Any, type_name: str, path: str) -> FieldError | None:
        """Evaluate in a context that holds self (the `value`) and oldSelf."""
        try:
            outcome = self._program.execute(context)
        except CEL_FAILURES as error:
            detail = f"{evaluation_fault(error)} evaluating rule: {self._text()}"
            return invalid(path or "<nil>", type_name, detail)
        return None if outcome is True else self._failure(context, value, path)

    def _failure(self, context: cel.Context, value: Any, path: str) -> FieldError:
        place = (path + self._field_path).lstrip(".") or "<nil>"
        detail = self._evaluated_message(context) or self._message or f"failed rule: {self._text()}"
        word = _REASONS[self._reason]
        if self._reason in ("FieldValueForbidden", "FieldValueRequired"):
            return FieldError(place, self._reason, f"{word}: {detail}")
        # What is large is left out of the message.
        shown = word if isinstance(value, (dict, list)) else f"{word}: {render(value)}"
        return FieldError(place, self._reason, shown if self._reason == "FieldValueDuplicate" else f"{shown}: {detail}")

    def _evaluated_message(self, context: cel.Context) -> str:
        """The messageExpression's text; "" where it has none, or fails: then the message stands in."""
        if self._message_program is None:
            return ""
        try:
            text = self._message_program.execute(context)
        except CEL_FAILURES:
            return ""
        return text.strip() if isinstance(text, str) and "\n" not in text.strip() else ""

    def _text(self) -> str:
        """What errors call the rule by."""
        return self._message or self.source.strip()


def compile_rules(rules: list[JsonObject]) -> list[CompiledRule]:
    """Raises RuleError naming the rule that is no CEL."""
    return [CompiledRule(rule) for rule in rules]


class Evaluator:
    """Evaluates the rules of one position; its context, with the functions in it, is made once."""

    def __init__(self) -> None:
        self._context = cel.Context({}, dict(KUBERNETES_FUNCTIONS))

    def check(
        self, rules: list[CompiledRule], value: Any, previous: Any, type_name: str, path: str
    ) -> list[FieldError]:
        """`previous` is None where there is no stored value to compare with."""
        due = [rule for rule in rules if previous is not None or not rule.is_transition or rule.optional_old_self]
        if not due:
            return []
        found: list[FieldError] = []
        escaped: bool | None = None
        for rule in due:
            if rule.escapes is not escaped:
                escaped = rule.escapes
                self._context.add_variable("self", escape(value) if escaped else value)
            if rule.is_transition:
                self._set_old_self(rule, previous)
            error = rule.check(self._context, value, type_name, path)
            if error is not None:
                found.append(error)
        return found

    def _set_old_self(self, rule: CompiledRule, previous: Any) -> None:
        stored = escape(previous) if rule.escapes else previous
        if rule.optional_old_self:
            stored = cel.OptionalValue.none() if previous is None else cel.OptionalValue.of(stored)
        self._context.add_variable("oldSelf", stored)


def escape(value: Any) -> Any:
    """Field names as rules spell them: `namespace` is a word of CEL, so it is `__namespace__` there."""
    if isinstance(value, dict):
        return {_escaped_name(name): escape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [escape(item) for item in value]
    return value


def _escaped_name(name: str) -> str:
    if name in _RESERVED:
        return f"__{name}__"
    name = name.replace("__", "__underscores__")
    return name.replace(".", "__dot__").replace("-", "__dash__").replace("/", "__slash__")


def _compile(source: str) -> cel.Program:
    try:
        return cel.compile(source)
    except (ValueError, RuntimeError) as error:
        raise RuleError(f"compilation failed: {_first_line(error)}") from error


def evaluation_fault(error: Exception) -> str:
    """What a real server says of an evaluation that failed."""
    return f"no such key: {error.args[0]}" if isinstance(error, KeyError) and error.args else _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
