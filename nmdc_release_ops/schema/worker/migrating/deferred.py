"""A package whose own code runs when something of it is first used, not when a module in it is imported."""

import ast
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any


def defer(package: str) -> None:
    """Let modules of `package` be imported without the code of its `__init__`. That code runs at the first use of a name that
    only it can define.

    Does nothing if the package is imported already, or if its `__init__` does more than import: its modules may rely on
    that having been done before them.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    if package in sys.modules:
        return
    spec = find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    if _only_imports(spec):
        module = module_from_spec(spec)
        module.__class__ = _Deferred
        sys.modules[package] = module


def _only_imports(spec: ModuleSpec) -> bool:
    if spec.origin is None or not spec.has_location:
        return False
    statements = ast.parse(Path(spec.origin).read_bytes()).body
    return all(
        isinstance(one, ast.Import | ast.ImportFrom)
        or (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        for one in statements
    )


class _Deferred(ModuleType):
    def __getattr__(self, name: str) -> Any:
        # Only called for names that are not defined. While the package's own code runs, it is an ordinary module.
        self.__class__ = ModuleType  # type: ignore[assignment]
        try:
            if self.__spec__ is None or self.__spec__.loader is None:
                raise ImportError(f"{self.__name__} has no code", name=self.__name__)
            self.__spec__.loader.exec_module(self)
        except BaseException:
            self.__class__ = _Deferred
            raise
        return getattr(self, name)
