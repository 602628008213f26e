"""Schema environments whose Python forks, for tests that start workers by the hundred.

A worker takes a second to import what it needs, and a promotion of a small database little else. Where a test is about what
workers do, and not about how they start, they can be forks of one process for each environment.
"""

import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import nmdc_release_ops.schema
from nmdc_release_ops.schema.environments.compiled import CompiledSchemas
from nmdc_release_ops.schema.environments.environment import SchemaEnvironments, worker_environment
from nmdc_release_ops.schema.packages.candidate import Candidate
from nmdc_release_ops.schema.version import SchemaVersion

_HERE = Path(__file__).parent
_MIGRATING = """
import sys
sys.path.append({folder!r})
import worker.migrating.migrate
import nmdc_schema.migrators.adapters.mongo_adapter, nmdc_schema.migrators.migrator_base
"""
_VALIDATING = """
from functools import cache
from pathlib import Path
import worker.validating.linkml_judge, worker.validating.validate, worker.validating.validate_unit
worker.validating.validate_unit.initialise_process(Path({compiled!r}))
# LinkML takes a second to read the schema.
judge = worker.validating.linkml_judge
judge.get_nmdc_schema_definition = cache(judge.get_nmdc_schema_definition)
judge.get_nmdc_schema_definition()
"""
_AT_LAST = """
# Each process executes its task itself.
for name in ("worker.migrating.migrate", "worker.validating.validate"):
    sys.modules.pop(name, None)
"""


@contextmanager
def forking_schema_folder(
    folder: Path, home: Path, releases: Iterable[SchemaVersion | Candidate], target: SchemaVersion | Candidate
) -> Iterator[Path]:
    """A folder of schema releases, like `home`, in which the Python of some environments forks while the block lasts.

    Args:
        folder: is created.
        releases: those whose environments fork.
        target: the one of them in whose environment documents are validated.
    """
    environments = SchemaEnvironments(home).prepare_all(releases)
    compiled = CompiledSchemas(home).prepare(environments[str(target)])
    (folder / "environments").mkdir(parents=True)
    for name in ("packages", "compiled"):
        (folder / name).symlink_to(home / name)
    for one in (home / "environments").glob("[!.]*"):
        if one.name not in environments:
            (folder / "environments" / one.name).symlink_to(one)
    with ExitStack() as stack:
        for name, real in environments.items():
            read_ahead = compiled if name == str(target) else None
            stack.enter_context(_forking(folder / "environments" / name, real.path, read_ahead))
        yield folder


@contextmanager
def _forking(place: Path, real: Path, compiled: Path | None) -> Iterator[None]:
    (place / "bin").mkdir(parents=True)
    for inside in (Path(), Path("bin")):
        for one in (real / inside).iterdir():
            # The mirrored environment is verified by itself.
            if one.name not in ("bin", "verified"):
                (place / inside / one.name).symlink_to(one)
    client, server = place / "bin" / "python", place / "fork.socket"
    python = place / "bin" / "python3"
    client.unlink()
    text = (_HERE / "client.py").read_text().replace("{SERVER}", str(server)).replace("{PYTHON}", str(python))
    # Without the site and whatever it would import.
    client.write_text(f"#!{Path(sys.executable).resolve()} -IS\n{text}")
    client.chmod(0o755)
    code = _MIGRATING.format(folder=str(Path(nmdc_release_ops.schema.__file__).parent))
    if compiled is not None:
        code += _VALIDATING.format(compiled=str(compiled))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        # Clients can connect at once, and wait until it has imported everything.
        listener.bind(str(server))
        listener.listen(100)
        process = subprocess.Popen(
            [str(python), "-P", str(_HERE / "server.py"), str(listener.fileno()), str(client), code + _AT_LAST],
            env=worker_environment(""),
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
    with process:
        yield
