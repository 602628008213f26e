"""Schema environments whose Python forks, for tests that start workers by the hundred.

A worker takes a second to import what it needs, and a promotion of a small database little else. Where a test is about what
workers do, and not about how they start, they can be forks of one process for each environment.
"""

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import nmdc_release_ops.schema
from nmdc_release_ops.schema.environments.compiled import CompiledSchemas
from nmdc_release_ops.schema.environments.environment import SchemaEnvironments, worker_environment
from nmdc_release_ops.schema.packages.candidate import Candidate
from nmdc_release_ops.schema.version import SchemaVersion

_HERE = Path(__file__).parent
_PATH = """
import sys
if {folder!r} not in sys.path:
    sys.path.append({folder!r})
"""
_MIGRATING = """
import worker.migrating.migrate
import nmdc_schema.migrators.adapters.mongo_adapter, nmdc_schema.migrators.migrator_base
"""
_VALIDATING = """
from functools import cache
from pathlib import Path
import worker.validating.linkml_judge, worker.validating.validate, worker.validating.validate_unit
worker.validating.validate_unit.initialise_process(Path({compiled!r}))
# LinkML takes a second to read the schema, and another one to look through it.
judge = worker.validating.linkml_judge
judge.get_nmdc_schema_definition = cache(judge.get_nmdc_schema_definition)
definition = judge.get_nmdc_schema_definition()
view = judge.SchemaView(definition)
index = judge.index_schema(view)
views, indexes = dict([(id(definition), view)]), dict([(id(view), index)])
judge.SchemaView = lambda schema: views[id(schema)]
judge.index_schema = lambda view: indexes[id(view)]
"""
_AT_LAST = """
# Each process executes its task itself.
sys.modules.pop({task!r}, None)
"""
_MIGRATE, _VALIDATE = "worker.migrating.migrate", "worker.validating.validate"


@contextmanager
def forking_schema_folder(
    folder: Path,
    home: Path,
    releases: Iterable[SchemaVersion | Candidate],
    targets: Iterable[SchemaVersion | Candidate],
) -> Iterator[Path]:
    """A folder of schema releases, like `home`, in which the Python of some environments forks while the block lasts.
    On other systems than Linux it is `home` itself.

    Args:
        folder: is created.
        releases: those whose environments fork.
        targets: the ones of them in whose environment documents are validated.
    """
    if sys.platform != "linux":
        # Elsewhere there is no `pidfd`, and workers are started as ever.
        yield home
        return
    environments = SchemaEnvironments(home).prepare_all(releases)
    compiled = {str(one): CompiledSchemas(home).prepare(environments[str(one)]) for one in targets}
    (folder / "environments").mkdir(parents=True)
    for name in ("packages", "compiled"):
        (home / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(home / name)
    for one in (home / "environments").glob("[!.]*"):
        if one.name not in environments:
            (folder / "environments" / one.name).symlink_to(one)
    with ExitStack() as stack:
        for name, real in environments.items():
            stack.enter_context(
                forking_environment(folder / "environments" / name, real.path, _read_ahead(compiled.get(name)))
            )
        yield folder


@contextmanager
def forking_environment(place: Path, real: Path, read_ahead: Mapping[str, str]) -> Iterator[None]:
    """A copy of a virtual environment whose Python forks while the block lasts.

    Args:
        place: is created.
        read_ahead: by an argument of a process, the Python code that is executed before the first of these is forked.
    """
    (place / "bin").mkdir(parents=True)
    for inside in (Path(), Path("bin")):
        for one in (real / inside).iterdir():
            # The mirrored environment is verified by itself.
            if one.name not in ("bin", "verified"):
                (place / inside / one.name).symlink_to(one)
    client, python = place / "bin" / "python", place / "bin" / "python3"
    client.unlink()
    with (
        # The path of a socket may have a hundred bytes.
        tempfile.TemporaryDirectory(prefix="fork") as short,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
    ):
        server = f"{short}/socket"
        text = (_HERE / "client.py").read_text().replace("{SERVER}", server).replace("{PYTHON}", str(python))
        # Without the site and whatever it would import.
        client.write_text(f"#!{Path(sys.executable).resolve()} -IS\n{text}")
        client.chmod(0o755)
        # Clients can connect at once, and wait until it has imported what they need.
        listener.bind(server)
        listener.listen(100)
        process = subprocess.Popen(
            [
                *(str(python), "-P", str(_HERE / "server.py")),
                *(str(listener.fileno()), str(client), json.dumps(read_ahead)),
            ],
            env=worker_environment(""),
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
        # Its standard input is closed in the end, and it ends.
        with process:
            yield


def _read_ahead(compiled: Path | None) -> dict[str, str]:
    """Of each task, the Python code that imports what it needs."""
    tasks = {_MIGRATE: _MIGRATING}
    if compiled is not None:
        tasks[_VALIDATE] = _VALIDATING.format(compiled=str(compiled))
    path = _PATH.format(folder=str(Path(nmdc_release_ops.schema.__file__).parent))
    return {task: f"{path}{code}{_AT_LAST.format(task=task)}" for task, code in tasks.items()}
