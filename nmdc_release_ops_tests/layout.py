"""The layout of the package: what may import what, and who may read the environment.

`test_layering.py` checks it, and `rooms.py` draws it.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "nmdc_release_ops"
PACKAGE_FOLDER = Path(__file__).parent.parent / PACKAGE

# From the top down; an import may point to the same line or to a later one.
LAYOUT = [
    "definitions",
    "jobs",
    "sensors",
    "checks",
    "command",
    "steps",
    "foreseen",
    "resources",
    "catalog",
    "status",
    "pages",
    "planning",
    "folders",
    "lineage",
    "records",
    "runtime",
    "services",
    "schema",
    "demo",
    "mongo",
    "page",
    "pace",
    "units",
    "files",
    "masking",
]

# The rooms of a folder, from the top down. Its own files, which put the rooms together, are above them all, its errors below.
ROOMS = {
    "steps": [
        "promoting",
        "following_up",
        "judging",
        "swapping",
        "holding",
        "planning",
        "shared",
        "pages",
        "showing",
        "preparing",
        "runs",
    ],
    "schema": ["environments", "outlines", "packages"],
    "mongo": [
        "swapping",
        "promoting",
        "difference",
        "transfer",
        "archive",
        "delta",
        "freezing",
        "state",
        "programs",
        "server",
    ],
    "schema/worker": ["migrating", "validating", "compiling"],
}
# What rooms share lies in the folder itself.
BELOW_THE_ROOMS = {
    "mongo": ["errors"],
    "schema": ["errors", "processes", "silence", "uv", "version"],
    "schema/worker": ["disk", "messages", "ending", "process_pool", "release", "task"],
    "steps": [],
}

# Programs on top of the package. They may import anything, and nothing may import them.
APPLICATIONS = ("demo/__main__.py",)

WORKER = "schema/worker/"
# What a schema release's own environment holds besides the standard library.
WORKER_MAY_IMPORT = {
    *("bson", "dagster_pipes", "linkml", "linkml_runtime", "nmdc_schema", "pymongo"),
    *("jsonschema", "jsonschema_rs", "refscan"),
}

UNKNOWN_TO = {
    "mongo": ("dagster", "linkml", "nmdc_schema"),
    "pages": ("dagster",),
    "foreseen": ("dagster",),
    "folders": ("dagster",),
    "status": ("dagster",),
    "planning": ("dagster",),
    "schema": ("dagster",),
    "runtime": ("dagster", "pymongo"),
    "services": ("dagster", "pymongo"),
}

# It reads the environment too, so only one module may use it.
SETTINGS = ("pydantic_settings", "resources/environment.py")

# A variable that the code names, but not by a literal: `os.environ[name]`.
CHOSEN = "a chosen variable"

# Who may read which variables of the environment; None stands for any. The first line that fits counts.
ENVIRONMENT_READERS: list[tuple[str, set[str] | None]] = [
    ("demo/", None),
    # It sets those of its task.
    (f"{WORKER}task.py", None),
    # The latter is not read, but set for SQLite.
    (WORKER, {"NMDC_TRANSFORMER_URI", "SQLITE_TMPDIR"}),
    ("schema/", None),
    ("mongo/programs/mongod.py", {"MONGOD"}),
    # It picks the variables that a program may see.
    ("mongo/programs/environment.py", {CHOSEN}),
]


def violations(path: str, source: str) -> list[str]:
    """What the module breaks of the layout's rules.

    path is relative to the package's folder, with forward slashes.
    """
    tree = ast.parse(source)
    found: list[str] = []
    layer = layer_of(path)
    if layer is None:
        return found
    if layer not in LAYOUT:
        return [f"{path} stands nowhere in the layout"]
    for line, module in imports(path, tree):
        found += [f"{path}:{line} {offence}" for offence in offences_of_an_import(path, layer, module)]
        found += [f"{path}:{line} {offence}" for offence in offences_between_rooms(path, module)]
    for line, variable in environment_reads(tree):
        if not may_read(path, variable):
            found.append(f"{path}:{line} reads {variable or 'all variables'} from the environment")
    return found


def layer_of(path: str) -> str | None:
    """The path's first part; None for the package's own __init__.py, which is above all layers."""
    top = path.split("/")[0].removesuffix(".py")
    return None if top == "__init__" else top


def imports(path: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything that is imported, in functions and under TYPE_CHECKING too."""
    package = [PACKAGE, *path.split("/")[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from nmdc_release_ops import jobs` imports a module, so the names count as well.
            names = [f"{module}.{alias.name}" for alias in node.names] if module == PACKAGE else [module]
            yield from ((node.lineno, name) for name in names)


def offences_of_an_import(path: str, layer: str, module: str) -> Iterator[str]:
    top, _, rest = module.partition(".")
    if path.startswith(WORKER):
        if not worker_may_import(path, module):
            yield f"imports {module}, which a schema release's environment does not hold"
    elif top == PACKAGE and rest:
        imported = rest.split(".")[0]
        if rest.endswith("__main__"):
            yield f"imports {module}, which is a program"
        elif path in APPLICATIONS:
            return
        elif imported not in LAYOUT:
            yield f"imports {module}, which stands nowhere in the layout"
        elif LAYOUT.index(imported) < LAYOUT.index(layer):
            yield f"imports {module}: up the layout"
    elif any(top == known or top.startswith(f"{known}_") for known in UNKNOWN_TO.get(layer, ())):
        yield f"imports {module}, which {layer}/ knows nothing of"
    elif top == SETTINGS[0] and path != SETTINGS[1]:
        yield f"imports {module}: only {SETTINGS[1]} may"


def offences_between_rooms(path: str, module: str) -> Iterator[str]:
    for folder in ROOMS:
        inside = f"{PACKAGE}.{folder.replace('/', '.')}."
        if not (path.startswith(f"{folder}/") and module.startswith(inside)):
            continue
        here = path.removeprefix(f"{folder}/").split("/")[0].removesuffix(".py")
        there = module.removeprefix(inside).split(".")[0]
        if (folder, here) in (("schema", "worker"),) or there == here:
            continue
        if height(folder, there) < height(folder, here):
            yield f"imports {module}: up the rooms of {folder}/"
        elif folder == "steps" and {here, there}.isdisjoint(ROOMS[folder]):
            yield f"imports {module}: another step"


def height(folder: str, name: str) -> int:
    """Where a room or a file of a folder stands, counted from the top."""
    rooms = ROOMS[folder]
    if name in rooms:
        return 1 + rooms.index(name)
    return 1 + len(rooms) if name in BELOW_THE_ROOMS[folder] else 0


def worker_may_import(path: str, module: str) -> bool:
    top, _, rest = module.partition(".")
    siblings = {file.stem for file in (PACKAGE_FOLDER / path).parent.glob("*.py")}
    inside = rest.startswith("schema.worker") if top == PACKAGE else top in siblings
    return inside or top in WORKER_MAY_IMPORT or top in sys.stdlib_module_names


def environment_reads(tree: ast.AST) -> Iterator[tuple[int, str | None]]:
    """Line and variable of each use of os.environ or os.getenv; None where the whole environment is taken."""
    named: dict[ast.AST, str] = {}
    for node in ast.walk(tree):
        reader: ast.AST | None = None
        key: ast.expr | None = None
        if isinstance(node, ast.Subscript):
            reader, key = node.value, node.slice
        elif isinstance(node, ast.Call) and node.args:
            # os.getenv("X"), and os.environ.get("X")
            is_get = isinstance(node.func, ast.Attribute) and node.func.attr == "get"
            reader = node.func.value if is_get and isinstance(node.func, ast.Attribute) else node.func
            key = node.args[0]
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            reader, key = node.comparators[0], node.left
        if reader is not None:
            named[reader] = str(key.value) if isinstance(key, ast.Constant) else CHOSEN
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            if node.attr in ("environ", "environb", "getenv", "getenvb"):
                yield node.lineno, named.get(node)
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from ((node.lineno, None) for alias in node.names if alias.name.startswith(("environ", "getenv")))


def may_read(path: str, variable: str | None) -> bool:
    for reader, variables in ENVIRONMENT_READERS:
        if path.startswith(reader):
            return variables is None or variable in variables
    return False


def modules() -> list[str]:
    return sorted(file.relative_to(PACKAGE_FOLDER).as_posix() for file in PACKAGE_FOLDER.rglob("*.py"))
