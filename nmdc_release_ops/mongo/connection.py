"""Connecting to a server, and saying plainly why it cannot be done."""

from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError,
    InvalidURI,
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
    """A connection string that is none."""


class ServerUnreachable(MongoError):
    """No server answers."""


class LoginRefused(MongoError):
    """The server does not know the user, or not with that password."""


def connect(uri: str, *, whose: str, variable: str) -> MongoClient[Document]:
    """A client whose server has answered.

    Args:
        uri: the connection string; never part of an error's text, since it holds a password.
        whose: what to call the server in errors: "origin" or "transformer".
        variable: the environment variable that the string came from.

    Raises:
        InvalidConnectionString, ServerUnreachable, LoginRefused.
    """
    try:
        nodes = ", ".join(f"{host}:{port}" for host, port in parse_uri(uri, validate=False)["nodelist"])
        client: MongoClient[Document] = MongoClient(
            uri,
            appname=APPLICATION,
            serverSelectionTimeoutMS=SELECTION_SECONDS * 1000,
            connectTimeoutMS=SELECTION_SECONDS * 1000,
            w="majority",
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
        reason = str(error).split(", Timeout:")[0]
        raise ServerUnreachable(
            f"The {whose} at {nodes} did not answer within {SELECTION_SECONDS} seconds: {reason}. "
            f"Check that it runs, that {variable} names it, and that this machine may reach it."
        ) from None
    return client


def codec_options() -> CodecOptions[Document]:
    """How documents are decoded wherever the project looks inside them."""
    return CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


def is_unauthorized(error: OperationFailure) -> bool:
    """Whether the server refused for want of a privilege."""
    return error.code == _UNAUTHORIZED
