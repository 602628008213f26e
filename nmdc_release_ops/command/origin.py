"""The origin and the folder that the environment names."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.server.connection import Document, connect
from nmdc_release_ops.resources.environment import ConfigurationMissing, HomeSettings, OriginSettings


@dataclass(frozen=True)
class Origin:
    """A connection to the production database."""

    client: MongoClient[Document]
    database: Database[Document]
    uri: str = field(repr=False)


@contextmanager
def open_origin() -> Iterator[Origin]:
    """Connect to the origin while the block lasts.

    Raises:
        ConfigurationMissing, InvalidConnectionString, ServerUnreachable, LoginRefused.
    """
    settings = OriginSettings.read()
    if settings.uri is None:
        raise ConfigurationMissing(
            "NMDC_ORIGIN_URI is not set. Set it to the origin's connection string, as in the environment of Dagster, and run "
            "this command again."
        )
    uri = settings.uri.get_secret_value()
    with connect(uri, whose="origin", variable="NMDC_ORIGIN_URI") as client:
        yield Origin(client, client[settings.database], uri)


def release_home() -> Path:
    """`NMDC_RELEASE_HOME`.

    Raises:
        ConfigurationInvalid.
    """
    return HomeSettings.read().path.expanduser().resolve()
