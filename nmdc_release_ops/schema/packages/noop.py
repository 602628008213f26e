"""Recognising a no-op migrator by its source, without running it.

A no-op migrator is not run, so a wrong guess loses a migration. This is an allowlist: if the source contains anything else,
the migrator runs.
"""

import ast
from collections.abc import Iterator

_BASE = "MigratorBase"
# Importing these has no effect on a database.
_MODULES = {
    "__future__",
    "logging",
    "typing",
    "nmdc_schema.migrators.adapters.adapter_base",
    "nmdc_schema.migrators.migrator_base",
}
_BASE_MODULE = "nmdc_schema.migrators.migrator_base"
_VERSIONS = ("_from_version", "_to_version")
_LOG_CALLS = {f"self.logger.{level}" for level in ("debug", "info", "warning", "error", "critical")}
# The base class's warning about transactions.
_WARNING_CALL = "self._warn_if_commit_ignored"


def is_noop(module: ast.Module) -> bool:
    """Whether a migrator's module certainly does nothing, both on import and when it runs.

    It may contain imports of a few known modules, and one class `Migrator` with its versions and an `upgrade` of
    docstrings, `pass`, `return` and log lines whose arguments call nothing.
    """
    names: list[str] = []
    for statement in module.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            if not _is_known_import(statement):
                return False
            names += [alias.asname or alias.name for alias in statement.names]
        elif isinstance(statement, ast.ClassDef):
            if statement.name != "Migrator" or not _is_noop_class(statement, set(names)):
                return False
            names.append(statement.name)
        elif not _is_constant(statement):
            return False
    # Where a name is bound twice, it may not refer to the class or its base.
    return "Migrator" in names and len(set(names)) == len(names)


def _is_known_import(statement: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(statement, ast.Import):
        return all(alias.name in _MODULES and alias.asname is None for alias in statement.names)
    if statement.level or statement.module not in _MODULES:
        return False
    return all(
        alias.name != "*" and ((alias.asname or alias.name) != _BASE or _is_base(statement, alias))
        for alias in statement.names
    )


def _is_base(statement: ast.ImportFrom, alias: ast.alias) -> bool:
    return statement.module == _BASE_MODULE and alias.name == _BASE


def _is_noop_class(node: ast.ClassDef, imported: set[str]) -> bool:
    if node.decorator_list or node.keywords or getattr(node, "type_params", []):
        return False
    bases = [ast.unparse(base) for base in node.bases]
    if bases not in ([], [_BASE]) or not imported.issuperset(bases):
        return False
    methods = [statement for statement in node.body if isinstance(statement, ast.FunctionDef)]
    rest = [statement for statement in node.body if not isinstance(statement, ast.FunctionDef)]
    return (
        [method.name for method in methods] == ["upgrade"]
        and _is_noop_method(methods[0])
        and all(_is_constant(statement) or _is_version(statement) for statement in rest)
    )


def _is_version(statement: ast.stmt) -> bool:
    """Whether it assigns a constant to `_from_version` or `_to_version`."""
    if isinstance(statement, ast.AnnAssign):
        targets: list[ast.expr] = [statement.target]
        if not _is_plain_annotation(statement.annotation):
            return False
    elif isinstance(statement, ast.Assign):
        targets = statement.targets
    else:
        return False
    named = all(isinstance(target, ast.Name) and target.id in _VERSIONS for target in targets)
    return named and isinstance(statement.value, ast.Constant)


def _is_noop_method(method: ast.FunctionDef) -> bool:
    if method.decorator_list or getattr(method, "type_params", []):
        return False
    if [argument.arg for argument in method.args.args[:1]] != ["self"]:
        return False
    if not all(isinstance(default, ast.Constant) for default in _defaults(method.args)):
        return False
    return all(map(_is_plain_annotation, _annotations(method))) and all(map(_is_noop_statement, method.body))


def _defaults(arguments: ast.arguments) -> Iterator[ast.expr]:
    yield from arguments.defaults
    yield from (default for default in arguments.kw_defaults if default is not None)


def _annotations(method: ast.FunctionDef) -> Iterator[ast.expr]:
    """What is evaluated when the method is defined, besides its defaults."""
    given = method.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    yield from (one.annotation for one in named if one is not None and one.annotation is not None)
    if method.returns is not None:
        yield method.returns


def _is_noop_statement(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Return):
        return statement.value is None or isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return _is_harmless_call(statement.value)
    return _is_constant(statement)


def _is_harmless_call(call: ast.Call) -> bool:
    called = ast.unparse(call.func)
    if called == _WARNING_CALL:
        return all(map(_is_plain, [*call.args, *(keyword.value for keyword in call.keywords)]))
    return called in _LOG_CALLS and not call.keywords and all(map(_is_plain, call.args))


def _is_constant(statement: ast.stmt) -> bool:
    """Whether it is a docstring, another bare constant, or `pass`."""
    if isinstance(statement, ast.Pass):
        return True
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_plain(expression: ast.expr) -> bool:
    """Whether evaluating it only looks up names: constants, names, attributes, and f-strings of them."""
    if isinstance(expression, ast.Constant | ast.Name):
        return True
    if isinstance(expression, ast.Attribute):
        return _is_plain(expression.value)
    if isinstance(expression, ast.FormattedValue):
        return _is_plain(expression.value) and (expression.format_spec is None or _is_plain(expression.format_spec))
    return isinstance(expression, ast.JoinedStr) and all(map(_is_plain, expression.values))


def _is_plain_annotation(expression: ast.expr) -> bool:
    """Whether it is an ordinary type annotation: names, and names with parameters."""
    if isinstance(expression, ast.Subscript):
        return _is_plain(expression.value) and _is_plain_annotation(expression.slice)
    if isinstance(expression, ast.Tuple):
        return all(map(_is_plain_annotation, expression.elts))
    return _is_plain(expression)
