"""The schema release whose environment this process runs in, and the transformer it works on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from bson.codec_options import DatetimeConversion
from pymongo import MongoClient
from pymongo.database import Database

SELECTION_SECONDS = 10


class WrongEnvironment(Exception):
    """This environment holds another release than the requested one."""


def require_version(requested: str) -> None:
    """Refuse to work if the environment holds another release than `requested`.

    Raises:
        WrongEnvironment
    """
    installed = version("nmdc-schema")
    if _numbers(installed) != _numbers(requested):
        raise WrongEnvironment(f"this environment holds nmdc-schema {installed}, not {requested}")


@contextmanager
def transformer(database: str, uri: str | None = None) -> Iterator[Database[dict[str, Any]]]:
    """Connect to the scratch database for the block, with the codec options that the release's own tools use.

    Those are the driver's defaults, with one exception: a date beyond Python's range is kept instead of raising an error.

    Args:
        uri: of its server; None for that of the environment.
    """
    client: MongoClient[dict[str, Any]] = MongoClient(
        os.environ["NMDC_TRANSFORMER_URI"] if uri is None else uri,
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        # The origin is frozen meanwhile, so do not wait long for a transformer that is gone.
        serverSelectionTimeoutMS=SELECTION_SECONDS * 1000,
    )
    with client:
        yield client[database]


def _numbers(text: str) -> list[str]:
    numbers = text.split(".")
    return numbers + ["0"] * (3 - len(numbers))
