"""The command's options. What a subcommand does is imported when it runs, so that `--help` is there at once."""

from typing import Annotated

import typer

OVER = "Exit status: 0 if all is well, 1 if not, 2 for bad usage."
HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="nmdc-release",
    help="The NMDC database's releases, seen from a terminal. Nothing here changes the database; Dagster launches jobs.",
    no_args_is_help=True,
    context_settings=HELP_OPTIONS,
    # A traceback of Rich shows the values of variables.
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
archives = typer.Typer(
    name="archives", help="The archives in NMDC_RELEASE_HOME: the state before each release.", no_args_is_help=True
)
app.add_typer(archives)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Release = Annotated[str, typer.Argument(help="A release's id, or the beginning of it, as `archives list` shows it.")]


@app.command()
def status(
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, and update what is shown.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="With --watch: seconds between two updates.")] = 2.0,
) -> None:
    """Say what state the database is in, what runs, and what to do next.

    Exit status: 0 if nothing has to be done or a release is at work, 1 if somebody has to act, 2 for bad usage, 3 if the state
    cannot be read.
    """
    from nmdc_release_ops.command.show_status import show_status

    show_status(json=json, watch=watch, seconds=every)


@app.command()
def check(
    target_version: Annotated[
        str, typer.Option(help='The schema version to release: "11.25", or "latest".')
    ] = "latest",
    from_version: Annotated[
        str | None, typer.Option(help="The version that the database conforms to. Only needed if its ledger is empty.")
    ] = None,
    allow_missing_migrator: Annotated[
        bool, typer.Option("--allow-missing-migrator", help="Accept a target release without a migrator of its own.")
    ] = False,
) -> None:
    """Find out what a release would do, and everything that would stop it: to be run the day before.

    Makes all checks of the step `plan`, with the configuration as it is. The database is only read; environments of schema
    releases are prepared in NMDC_RELEASE_HOME.

    Exit status: 0 if a release can be launched or has nothing to do, 1 if not, 2 for bad usage.
    """
    from nmdc_release_ops.command.check_release import check_release

    check_release(target_version, from_version, allow_missing_migrator=allow_missing_migrator)


@archives.command("list")
def list_archives(json: Json = False) -> None:
    """List the archives, newest first."""
    from nmdc_release_ops.command.archives import show_archives

    show_archives(json=json)


@archives.command("verify")
def verify_archive(release: Release) -> None:
    """Read a whole archive and compare every block and file with its digest.

    Exit status: 0 if everything is as it was dumped, 1 if not, 2 for bad usage.
    """
    from nmdc_release_ops.command.archives import verify

    verify(release)


@archives.command("commands")
def print_commands(
    release: Release,
    collection: Annotated[str | None, typer.Argument(help="Only this collection.")] = None,
) -> None:
    """Print the commands that restore an archive, or one collection of it, with MongoDB's own tools."""
    from nmdc_release_ops.command.archives import print_restoring

    print_restoring(release, collection)


def main() -> None:
    """The entry point."""
    app()
