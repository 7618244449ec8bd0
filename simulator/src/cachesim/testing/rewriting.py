"""An import hook that compiles one module from a changed source, in this process alone: nothing on the disk changes."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import CodeType, ModuleType


class AlreadyImported(RuntimeError):
    """The module was imported before its source could be changed: the hook has to come first."""


class _RewrittenSource(importlib.machinery.SourceFileLoader):
    """Loads a module from its file, its source changed on the way."""

    def __init__(self, name: str, path: str, rewrite: Callable[[str], str]) -> None:
        super().__init__(name, path)
        self._rewrite = rewrite

    def get_code(self, fullname: str) -> CodeType:
        # Not the inherited one: that would take, and leave behind, the compiled code of the unchanged source.
        source = self.get_data(self.path).decode("utf-8")
        code: CodeType = compile(self._rewrite(source), self.path, "exec", dont_inherit=True)
        return code


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, module: str, rewrite: Callable[[str], str]) -> None:
        self._module = module
        self._rewrite = rewrite

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._module:
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(fullname, path, target) if finder is not self else None
            if spec is not None and spec.origin is not None:
                spec.loader = _RewrittenSource(fullname, spec.origin, self._rewrite)
                return spec
        return None


def rewrite_at_import(module: str, rewrite: Callable[[str], str]) -> Callable[[], None]:
    """From now on `module` is imported from what `rewrite` makes of its source; answers how to undo it.

    Raises `AlreadyImported`: then somebody holds the unchanged code.
    """
    if module in sys.modules:
        raise AlreadyImported(f"{module} is imported already: its source can be changed before that only")
    finder = _Finder(module, rewrite)
    sys.meta_path.insert(0, finder)
    return lambda: sys.meta_path.remove(finder)
