"""Reading a migrator's source without running any of it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nmdc_release_ops.schema.packages.noop import is_noop
from nmdc_release_ops.schema.version import InvalidSchemaVersion, SchemaVersion


@dataclass(frozen=True)
class MigratorModule:
    """A top-level migrator of a release, as its source describes it.

    Attributes:
        module: its name within `nmdc_schema.migrators`.
        origin: text of `_from_version`, as written.
        destination: text of `_to_version`, as written.
        does_nothing: whether it is certainly a no-op, see `noop.is_noop`.
        problem: why it cannot be run; empty if it can be.
    """

    module: str
    origin: str
    destination: str
    does_nothing: bool
    problem: str

    @property
    def from_version(self) -> SchemaVersion | None:
        return _parse_version(self.origin)

    @property
    def to_version(self) -> SchemaVersion | None:
        return _parse_version(self.destination)

    @property
    def named_destination(self) -> SchemaVersion | None:
        """The destination in the module's name: 8.1 for "migrator_from_8_0_to_8_1"."""
        return _parse_version(self.module.rpartition("_to_")[2].replace("_", "."))


def _parse_version(text: str) -> SchemaVersion | None:
    try:
        return SchemaVersion.parse(text)
    except InvalidSchemaVersion:
        return None


def read_migrator(path: Path) -> MigratorModule:
    """Read a migrator's file; `problem` says why it cannot be run, if it cannot."""
    try:
        tree = _parse_source(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        return MigratorModule(path.stem, "", "", False, f"it is not valid Python: {error}")
    # Python keeps the last definition of a name.
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Migrator"]
    migrator = classes[-1] if classes else None
    if migrator is None:
        return MigratorModule(path.stem, "", "", False, "it has no class named Migrator")
    texts = dict(_string_attributes(migrator))
    origin, destination = texts.get("_from_version", ""), texts.get("_to_version", "")
    problem = ""
    if _parse_version(destination) is None:
        problem = f"its destination {destination!r} is not a version"
    elif _parse_version(origin) is None:
        problem = f"its origin {origin!r} is not a version"
    if not _may_have_upgrade(tree, migrator):
        problem = problem or "its Migrator has no method named upgrade"
    return MigratorModule(
        module=path.stem,
        origin=origin,
        destination=destination,
        does_nothing=is_noop(tree),
        problem=problem,
    )


def _may_have_upgrade(tree: ast.Module, migrator: ast.ClassDef) -> bool:
    """Whether the class may have a method `upgrade`: its own, an assigned one, or an inherited one."""
    if [ast.unparse(base) for base in migrator.bases] not in ([], ["MigratorBase"]):
        return True
    return any(
        "upgrade" in (getattr(node, field, None) for field in ("name", "id", "attr", "value"))
        for node in ast.walk(tree)
    )


def _string_attributes(migrator: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for node in migrator.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id, node.value.value


def _parse_source(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SystemError:
        # CPython 3.11 miscounts its recursion depth when another parser interrupts it (CPython issue 106905). The second
        # attempt succeeds.
        return ast.parse(text)


def normalised_code(file: Path) -> str:
    """The code of a file without comments and docstrings; its text if it is not Python."""
    text = file.read_text(encoding="utf-8", errors="replace")
    try:
        tree = _parse_source(text)
    except (SyntaxError, ValueError):
        return text
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            del node.body[0]
    return ast.dump(tree)
