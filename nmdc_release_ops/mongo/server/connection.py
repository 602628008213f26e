"""Connecting to a server, and describing plainly why a connection failed."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from bson.codec_options import DatetimeConversion
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.uri_parser import parse_uri

from nmdc_release_ops.mongo.errors import MongoError

Document = dict[str, Any]

APPLICATION = "nmdc-release-ops"
SELECTION_SECONDS = 10
_LOGIN_FAILED = (18, 11, 8000)
_UNAUTHORIZED = 13


class InvalidConnectionString(MongoError):
    """A setting is not a connection string."""


class ServerUnreachable(MongoError):
    """No server answers."""


class LoginRefused(MongoError):
    """The server refused the user or the password."""


class ServerFailed(MongoError):
    """A server stopped answering, or answered with an unexpected error."""


class Connected(Protocol):
    """A database and how to reach it: the driver works with the first, programs need the second."""

    @property
    def database(self) -> Database[Document]: ...

    @property
    def uri(self) -> str: ...


def connect(uri: str, *, whose: str, variable: str) -> MongoClient[Document]:
    """Connect a client, and make sure that its server answers.

    Args:
        uri: the connection string. It holds a password, so errors never contain it.
        whose: what to call the server in errors: "origin" or "transformer".
        variable: the environment variable that the string came from.

    Raises:
        InvalidConnectionString, ServerUnreachable, LoginRefused.
    """
    try:
        nodes = ", ".join(nodes_of(uri))
        client: MongoClient[Document] = MongoClient(
            uri,
            appname=APPLICATION,
            serverSelectionTimeoutMS=SELECTION_SECONDS * 1000,
            connectTimeoutMS=SELECTION_SECONDS * 1000,
            w="majority",
            # What is read decides what is written: never read from a member that lags behind, whatever the string says.
            readPreference="primary",
            readConcernLevel="local",
            retryWrites=True,
            # Dates outside Python's range are legal BSON; the default decoder raises on them.
            datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        )
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise InvalidConnectionString(
            f"{variable} is not a MongoDB connection string ({type(error).__name__}). It looks like "
            "mongodb://USER:PASSWORD@HOST:PORT/?replicaSet=NAME, with special characters percent-encoded."
        ) from None
    try:
        client.admin.command("ping")
        client.admin.command("connectionStatus")
    except OperationFailure as error:
        client.close()
        if error.code in _LOGIN_FAILED:
            raise LoginRefused(
                f"The {whose} at {nodes} refused the user or the password in {variable}. Correct it, and name the "
                "user's database with authSource if it is not admin."
            ) from None
        raise ServerUnreachable(f"The {whose} at {nodes} answered with an error: {error}") from None
    except (ServerSelectionTimeoutError, PyMongoError) as error:
        client.close()
        raise ServerUnreachable(
            f"The {whose} at {nodes} did not answer within {SELECTION_SECONDS} seconds: {_without_topology(error)}. "
            f"Check that it runs, that {variable} names it, and that this machine can reach it."
        ) from None
    return client


def nodes_of(uri: str) -> list[str]:
    """HOST:PORT of each server that a connection string names, as the driver writes them in its errors."""
    return [f"{host}:{port}" for host, port in parse_uri(uri, validate=False)["nodelist"]]


def password_in(uri: str) -> str:
    """The password in a connection string, as it is spelled there; empty if there is none. The string may be malformed."""
    return uri.partition("://")[2].rpartition("@")[0].partition(":")[2]


@contextmanager
def naming_failures(whose: str, addresses: Collection[str] = ()) -> Iterator[None]:
    """Name the server, and what to do, in errors that the driver raises in the block.

    Args:
        whose: what to call the server.
        addresses: HOST:PORT of its nodes. Only errors that name one of them are converted; needed if the block uses two
            servers. If empty, every error is converted.

    Raises:
        ServerFailed: in place of the driver's error.
    """
    try:
        yield
    except PyMongoError as error:
        text = _without_topology(error)
        if addresses and not any(address in text for address in addresses):
            raise
        raise ServerFailed(f"{_what_failed(error, whose)}: {text}. {_remedy(error, whose)}") from error


def _what_failed(error: PyMongoError, whose: str) -> str:
    if isinstance(error, NotPrimaryError):
        return f"The primary of the {whose} stepped down"
    if isinstance(error, ConnectionFailure):
        return f"The {whose} stopped answering"
    return f"The {whose} answered with an error"


def _remedy(error: PyMongoError, whose: str) -> str:
    if isinstance(error, NotPrimaryError):
        return "As soon as its set has a primary again, re-execute the run from failure."
    if isinstance(error, ConnectionFailure):
        return (
            f"Find the cause in the log of its mongod; when the {whose} runs again and this machine can reach it, re-execute the "
            "run from failure."
        )
    return "Correct the cause, and re-execute the run from failure."


def _without_topology(error: PyMongoError) -> str:
    """The driver's message without its description of the whole deployment, which does not help an operator."""
    return str(error).split(", Timeout:")[0].split(", full error:")[0].rstrip(".")


def is_unauthorized(error: OperationFailure) -> bool:
    """Whether the server refused for lack of a privilege."""
    return error.code == _UNAUTHORIZED
