"""Printing for people: with colours on a terminal, plain text anywhere else."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from pymongo.errors import PyMongoError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nmdc_release_ops.foreseen import FORESEEN_ANYWHERE, runbook_entry
from nmdc_release_ops.masking import mask, mask_logins
from nmdc_release_ops.mongo.server.connection import password_in
from nmdc_release_ops.resources.environment import ConfigurationInvalid, OriginSettings, TransformerSettings


def screen(*, errors: bool = False) -> Console:
    """The standard output, or the standard error output. Markup in texts is not interpreted: they quote data of others."""
    return Console(stderr=errors, markup=False, highlight=False, emoji=False)


def grid(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Names with texts beside them, which are wrapped to the width of the terminal."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(name, text)
    return table


@contextmanager
def explaining(code: int, errors: tuple[type[Exception], ...] = FORESEEN_ANYWHERE) -> Iterator[None]:
    """End the command with an error's text, and no stack trace, where the error is foreseen.

    Args:
        code: the exit status then.
    """
    try:
        yield
    except errors as error:
        fail(f"{error}\n{runbook_entry(error)}", code)
    except OSError as error:
        fail(
            f"{error.filename or 'A file'}: {error.strerror or error}. Run this command as the user that runs releases.",
            code,
        )
    except PyMongoError as error:
        fail(
            f"The origin answered with an error, or stopped answering: {_shorten(error)}. Nothing was changed. Run this "
            "command again; if it fails again, look into the log of its mongod.",
            code,
        )


def fail(text: str, code: int) -> NoReturn:
    """Print an error, without secrets, and end the command."""
    screen(errors=True).print(Text(conceal(text)), soft_wrap=True)
    raise typer.Exit(code)


def conceal(text: str) -> str:
    """A text without the passwords in the connection strings, whoever wrote it."""
    secrets: set[str] = set()
    for settings in (OriginSettings, TransformerSettings):
        try:
            uri = settings.read().uri
        except ConfigurationInvalid:
            continue
        if uri is not None:
            secrets.add(password_in(uri.get_secret_value()))
    return mask_logins(mask(text, secrets - {""}))


def _shorten(error: PyMongoError) -> str:
    return str(error).split(", Timeout:")[0].split(", full error:")[0].rstrip(".")
