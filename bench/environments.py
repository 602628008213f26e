"""Running code in the environment of a schema release, and today's `refscan` in one made from the same packages."""

import json
import re
from pathlib import Path
from typing import Any

from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, DAGSTER_PIPES_MESSAGES_ENV_VAR, encode_param

import nmdc_release_ops.schema
from bench.processes import Ran, run
from nmdc_release_ops.files import lock, replace_folder
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, worker_command, worker_environment
from nmdc_release_ops.schema.uv import python, run_uv

REFSCAN = "0.4.4"
_SCRIPTS = Path(__file__).parent / "scripts"
_SCHEMA = Path(nmdc_release_ops.schema.__file__).parent
_RUN_SCRIPT = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_path(sys.argv.pop(1), run_name='__main__')"
)
# What refscan's command line wants in a version of its own choice.
_CHOSEN_BY_REFSCAN = {"click", "rich", "typer"}


def run_script(environment: SchemaEnvironment, script: str, uri: str, arguments: list[str], folder: Path) -> Ran:
    """Run a file of `bench/scripts` in a schema release's environment, where it can import our `worker` too."""
    command = [str(environment.python), "-P", "-c", _RUN_SCRIPT, str(_SCHEMA), str(_SCRIPTS / script), *arguments]
    return run(command, folder=folder, environment=worker_environment(uri))


def run_task(environment: SchemaEnvironment, task: str, uri: str, extras: dict[str, Any], folder: Path) -> Ran:
    """Run a task of the worker as a step does, with Dagster Pipes' own files."""
    context = {
        **dict.fromkeys(("asset_keys", "code_version_by_asset_key", "provenance_by_asset_key", "partition_key"), None),
        **dict.fromkeys(("partition_key_range", "partition_time_window", "job_name"), None),
        "run_id": "bench",
        "retry_number": 0,
        "extras": {"schema_version": environment.schema_version, **extras},
    }
    (folder / "context").write_text(json.dumps(context))
    (folder / "messages").write_text("")
    return run(
        worker_command(environment, task),
        folder=folder,
        environment={
            **worker_environment(uri),
            DAGSTER_PIPES_CONTEXT_ENV_VAR: encode_param({"path": str(folder / "context")}),
            DAGSTER_PIPES_MESSAGES_ENV_VAR: encode_param({"path": str(folder / "messages")}),
        },
    )


def refscan_of(environment: SchemaEnvironment, home: Path) -> Path:
    """The command `refscan` in an environment with the packages of a schema release, made on the first call.

    It is kept in `home`. Only what the command line itself needs may differ from the release's environment.
    """
    folder = home / "bench" / f"refscan-{REFSCAN}-{environment.release}"
    with lock(folder):
        if not folder.exists():
            with replace_folder(folder) as aside:
                run_uv(
                    ["venv", "--relocatable", "--allow-existing", "--python", python(), str(aside)],
                    what="an environment",
                )
                pinned = [
                    f"{name}=={version}"
                    for name, version in environment.packages.items()
                    if _normal(name) not in _CHOSEN_BY_REFSCAN
                ]
                run_uv(
                    [
                        *("pip", "install", "--compile-bytecode", "--python", str(aside / "bin" / "python")),
                        *("--requirements", "-"),
                    ],
                    what=f"refscan {REFSCAN}",
                    requirements="\n".join([f"refscan=={REFSCAN}", *pinned]) + "\n",
                )
    return folder / "bin" / "refscan"


def schema_file(environment: SchemaEnvironment) -> Path:
    """The schema as one YAML file, which ships with the release."""
    (file,) = environment.path.glob("lib/python*/site-packages/nmdc_schema/nmdc_materialized_patterns.yaml")
    return file


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
