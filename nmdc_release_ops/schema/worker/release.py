"""The schema release whose environment this process runs in, and the transformer it works on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from bson.codec_options import DatetimeConversion
from pymongo import MongoClient
from pymongo.database import Database

PLUGIN = "nmdc_schema.nmdc_schema_validation_plugin"
"""The release's own rules; releases before 11.16 have none."""
SELECTION_SECONDS = 10


class WrongEnvironment(Exception):
    """This environment holds another release than the one that was asked for."""


def require_version(wanted: str) -> None:
    """Refuse to work with another release than `wanted`, three numbers.

    Raises:
        WrongEnvironment
    """
    found = version("nmdc-schema")
    if _numbers(found) != _numbers(wanted):
        raise WrongEnvironment(f"this environment holds nmdc-schema {found}, not {wanted}")


@contextmanager
def transformer(database: str) -> Iterator[Database[dict[str, Any]]]:
    """The scratch database for as long as the block lasts, with the codec options that the release's own tools use.

    Those are the driver's defaults. Only a date that Python cannot hold, which would make the driver raise, is kept as
    it is.
    """
    client: MongoClient[dict[str, Any]] = MongoClient(
        os.environ["NMDC_TRANSFORMER_URI"],
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        # The origin is frozen meanwhile: a transformer that is gone is given up soon.
        serverSelectionTimeoutMS=SELECTION_SECONDS * 1000,
    )
    with client:
        yield client[database]


def _numbers(text: str) -> list[str]:
    numbers = text.split(".")
    return numbers + ["0"] * (3 - len(numbers))
