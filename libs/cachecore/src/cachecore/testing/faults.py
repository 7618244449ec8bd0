"""Failures that a test plans: which call of which verb, on what, fails how."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable

import msgspec


class Fault(msgspec.Struct, kw_only=True):
    """One planned failure. It strikes calls of `verb` whose subject matches `pattern` (as a shell does).

    It lets `skip` such calls pass, then strikes `times` of them (None: for ever). `after`: the call is carried out, and
    only its answer is lost.
    """

    verb: str
    error: BaseException
    pattern: str = "*"
    skip: int = 0
    times: int | None = 1
    after: bool = False
    struck: int = 0

    def strikes(self, verb: str, subject: str, *, after: bool) -> bool:
        if self.after is not after or not fnmatch.fnmatchcase(verb, self.verb):
            return False
        if not fnmatch.fnmatchcase(subject, self.pattern):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None and self.struck >= self.times:
            return False
        self.struck += 1
        return True


class FaultPlan:
    """The faults of one fake, and the calls that it has had: (verb, subject) in their order."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.calls: list[tuple[str, str]] = []

    def fail(
        self,
        verb: str,
        error: BaseException,
        pattern: str = "*",
        *,
        skip: int = 0,
        times: int | None = 1,
        after: bool = False,
    ) -> Fault:
        """Plan a failure; the answer tells later how often it `struck`."""
        fault = Fault(verb=verb, error=error, pattern=pattern, skip=skip, times=times, after=after)
        self.faults.append(fault)
        return fault

    def heal(self) -> None:
        """Forget every planned failure."""
        self.faults.clear()

    def before(self, verb: str, subject: str) -> None:
        """Note a call, and raise what is planned for it."""
        self.calls.append((verb, subject))
        self._strike(verb, subject, after=False)

    def after(self, verb: str, subject: str) -> None:
        """Raise what is planned for the answer of a call that was carried out."""
        self._strike(verb, subject, after=True)

    def count(self, verb: str, pattern: str = "*") -> int:
        """How many calls of `verb` there were, on what matches `pattern`."""
        match: Callable[[str, str], bool] = fnmatch.fnmatchcase
        return sum(1 for called, subject in self.calls if match(called, verb) and match(subject, pattern))

    def _strike(self, verb: str, subject: str, *, after: bool) -> None:
        for fault in self.faults:
            if fault.strikes(verb, subject, after=after):
                raise fault.error
