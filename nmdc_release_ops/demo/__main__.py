"""The demo as a program: `release` creates an origin and releases it, `ui` opens Dagster's UI on one.

This is an application on top of the package; no module of the package imports it.
"""

import argparse
import contextlib
import json
import os
import re
import shlex
import socket
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
from pymongo import MongoClient

from nmdc_release_ops.demo.dagster_program import dagster_program
from nmdc_release_ops.demo.origin import DATABASE, DemoOrigin, exists
from nmdc_release_ops.files import write_whole
from nmdc_release_ops.mongo.programs.private_mongod import FolderInUse
from nmdc_release_ops.mongo.server.connection import nodes_of
from nmdc_release_ops.mongo.state import ledger
from nmdc_release_ops.pages.sentences import list_facts
from nmdc_release_ops.pages.shelf import standing_of
from nmdc_release_ops.pages.summary import Outcome
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.steps.pages.run_summary import gather
from nmdc_release_ops.units import duration

DEFINITIONS = "nmdc_release_ops.definitions"
# A line of Dagster's console: moment - dagster - level - job - run - step - message.
_CONSOLE_LINE = re.compile(
    r"\S+ (?P<time>[\d:]+) \S+ - dagster - (?P<level>\w+) - data_release - (?P<run>[0-9a-f-]{36})"
    r" - (?P<step>\w+) - (?P<message>.*)"
)
_ANY_RUN = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
ENVIRONMENT_FILE = "environment"
"""In the demo's release home, while its UI runs: what a terminal needs for `nmdc-release` and `dagster`."""


def main() -> int:
    arguments = _parse()
    try:
        if arguments.command == "ui":
            _require_free(arguments.port)
            if os.environ.get("NMDC_ORIGIN_URI"):
                return _ui_of_origin(arguments)
        home = _demo_home()
        folder = home.path / "origin"
        if arguments.command == "release":
            return _release(home, folder, arguments.scale, arguments.target)
        return _ui(folder, arguments)
    except FolderInUse:
        print(
            "Another `make demo` or `make ui` is using the demo's database. Stop it first (Ctrl-C in its terminal), or give this "
            "one a folder of its own: NMDC_RELEASE_HOME=/tmp/another-demo make demo",
            file=sys.stderr,
        )
    except Unusable as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return 2


class Unusable(Exception):
    """What was asked for cannot be done; the message says why, and what to do."""


def _require_free(port: int) -> None:
    """Raises:
    Unusable: another program listens on the port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Unusable(
                f"Port {port} of 127.0.0.1 cannot be used ({error.strerror}). If another `make ui` is running, open "
                f"http://127.0.0.1:{port}. Otherwise choose another port: make ui PORT={port + 1}"
            ) from None


def _demo_home() -> ReleaseHomeResource:
    """A release home of the demo's own, so that its archives are not among those of real releases; schema environments, which
    take long to make, are shared.
    """
    home = ReleaseHomeResource()
    # The resource reads the variable each time.
    shared = home.path
    schemas = home.schema_folder
    schemas.mkdir(parents=True, exist_ok=True)
    os.environ["NMDC_RELEASE_HOME"] = str(shared / "demo")
    home.path.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        home.schema_folder.symlink_to(schemas)
    return home


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nmdc_release_ops.demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    release = commands.add_parser("release", help="create a demo origin and release it")
    release.add_argument("--target", default="11.25", help="schema version to release")
    ui = commands.add_parser("ui", help="open Dagster's UI")
    ui.add_argument("--port", type=int, default=3000)
    ui.add_argument("--fresh", action="store_true", help="create a new demo origin")
    ui.add_argument("--workspace", type=Path, help="the workspace.yaml that names the code location")
    for command in (release, ui):
        command.add_argument("--scale", type=int, default=20_000, help="approximate number of documents")
    return parser.parse_args()


def _release(home: ReleaseHomeResource, folder: Path, scale: int, target: str) -> int:
    print(f"Creating a demo origin with about {scale:,} documents at schema 11.23.0 ...", flush=True)
    started = time.monotonic()
    origin = DemoOrigin.create(folder, scale=scale, log=lambda line: print(line, flush=True))
    print(f"The origin is ready after {duration(time.monotonic() - started)}. Releasing schema {target}:", flush=True)
    try:
        code, run_id = _run_job(folder, origin.uri(), target)
        if code == 0 and run_id:
            _summarize(home, origin, run_id)
        else:
            print("\nThe release failed; the lines above give the reason. `make ui` shows its run.")
        return code
    finally:
        origin.stop()


def _run_job(folder: Path, uri: str, target: str) -> tuple[int, str | None]:
    # No daemon runs in a terminal, and nobody else works with this origin.
    plan = {"target_version": target, "allow_without_watchdog": True}
    config = {
        "ops": {"plan": {"config": plan}},
        "loggers": {"console": {"config": {"log_level": "INFO"}}},
    }
    config_file = folder / "run.json"
    config_file.write_text(json.dumps(config))
    command = ["job", "execute", "-m", DEFINITIONS, "-j", "data_release", "-c", str(config_file)]
    variables = {"NMDC_ORIGIN_URI": uri, "NMDC_ORIGIN_DB": DATABASE}
    run_id = None
    with dagster_program(command, variables, piped=True) as program:
        for line in program.output or ():
            plain = _COLOR.sub("", line.rstrip())
            shown = _CONSOLE_LINE.match(plain)
            if any_run := _ANY_RUN.search(plain):
                run_id = run_id or any_run.group()
            if shown and not (program.is_interrupted and shown["step"].isdecimal()):
                print(f"  {shown['time']}  {shown['step']:<9} {shown['message']}", flush=True)
            elif plain and not program.is_interrupted:
                # After an interrupt, these are stack traces.
                print(f"  {plain}", flush=True)
        code = program.wait()
        if program.is_interrupted:
            raise KeyboardInterrupt
    return code, run_id


def _summarize(home: ReleaseHomeResource, origin: DemoOrigin, run_id: str) -> None:
    with dg.DagsterInstance.get() as instance:
        gathered = gather(instance, home, run_id, Outcome.SUCCEEDED)
    if gathered is None:
        return
    summary = gathered.summary
    with MongoClient[dict[str, Any]](origin.uri()) as client:
        recorded = ledger.recorded_version(client[DATABASE])
    steps = ((step.name, step.ended, step.started) for step in summary.steps)
    rows = [
        *list_facts(summary, standing_of(home.path, gathered.folder, summary)),
        ("ledger", f"the database is at schema {recorded}"),
        ("steps", ", ".join(f"{name} {duration((end - start).total_seconds())}" for name, end, start in steps if end)),
        ("page", str(gathered.folder / "release.html")),
        ("run", f"{run_id}; `make ui` shows it at http://127.0.0.1:3000/runs/{run_id}"),
    ]
    print("\nReleased.\n" + "\n".join(f"  {name:<14} {text}" for name, text in rows))


def _ui_of_origin(arguments: argparse.Namespace) -> int:
    """Open the UI on the origin of `NMDC_ORIGIN_URI`.

    Raises:
        Unusable: a new demo origin is asked for as well.
    """
    if arguments.fresh:
        raise Unusable(
            "FRESH=1 makes a new demo origin, but NMDC_ORIGIN_URI is set: this would open the UI on that origin. Unset "
            "NMDC_ORIGIN_URI for the demo, or leave FRESH=1 away."
        )
    print("Using the origin of NMDC_ORIGIN_URI. Each job names it in the first line of its log.", flush=True)
    return _dagster_dev(arguments, {})


def _ui(folder: Path, arguments: argparse.Namespace) -> int:
    if arguments.fresh or not exists(folder):
        print(f"Creating a demo origin with about {arguments.scale:,} documents at schema 11.23.0 ...", flush=True)
        origin = DemoOrigin.create(folder, scale=arguments.scale, log=lambda line: print(line, flush=True))
    else:
        origin = DemoOrigin.open(folder)
    variables = {"NMDC_ORIGIN_URI": origin.uri(), "NMDC_ORIGIN_DB": DATABASE}
    environment = folder.parent / ENVIRONMENT_FILE
    try:
        write_whole(environment, _exports(variables), private=True)
        with MongoClient[dict[str, Any]](origin.uri()) as client:
            version = ledger.recorded_version(client[DATABASE])
        print(
            f"The demo origin is running on {', '.join(nodes_of(origin.uri()))}, at schema {version}. The passwords of its "
            f"users are in {folder}/users.json. To create a new one at 11.23.0: make ui FRESH=1\n"
            f"The UI is at http://127.0.0.1:{arguments.port}: Jobs, data_release, Launchpad, Launch Run. Ctrl-C stops all.\n"
            f"For nmdc-release in another terminal: . {environment}",
            flush=True,
        )
        return _dagster_dev(arguments, variables)
    finally:
        environment.unlink(missing_ok=True)
        origin.stop()


def _exports(variables: dict[str, str]) -> str:
    """Lines for a shell."""
    ours = {name: os.environ[name] for name in ("NMDC_RELEASE_HOME", "DAGSTER_HOME") if name in os.environ}
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in {**variables, **ours}.items())


def _dagster_dev(arguments: argparse.Namespace, variables: dict[str, str]) -> int:
    """Run Dagster's development server until it ends or we are interrupted; leave none of its processes behind."""
    definitions = ["-w", str(arguments.workspace.resolve())] if arguments.workspace else ["-m", DEFINITIONS]
    # It warns of a dagster.yaml in the folder where it is started, such as this project's, unless that is DAGSTER_HOME.
    paths = {
        name: str(Path(os.environ[name]).expanduser().resolve())
        for name in ("DAGSTER_HOME", "NMDC_RELEASE_HOME")
        if os.environ.get(name)
    }
    command = ["dev", *definitions, "-h", "127.0.0.1", "-p", str(arguments.port)]
    home = paths.get("DAGSTER_HOME")
    with dagster_program(command, {**variables, **paths}, folder=Path(home) if home else None) as program:
        return program.wait()


if __name__ == "__main__":
    sys.exit(main())
