"""The connection string for the Database Tools: it states what the driver infers by itself."""

from urllib.parse import parse_qsl, quote, unquote_plus

from pymongo.errors import ConfigurationError, InvalidURI
from pymongo.uri_parser import parse_uri

from nmdc_release_ops.mongo.errors import MongoError

_EXTERNAL = "$external"
# Mechanisms whose users are kept outside the server (`_build_credentials_tuple` in pymongo.auth_shared,
# `setDefaultAuthParams` in the Go driver).
_EXTERNAL_MECHANISMS = ("GSSAPI", "MONGODB-AWS", "MONGODB-OIDC", "MONGODB-X509")
# `connection.connect` overrides these, so that nothing is read from a member that lags behind.
_OVERRULED = ("maxstalenessseconds", "readconcernlevel", "readpreference", "readpreferencetags")
_SECRET_OPTIONS = ("tlscertificatekeyfilepassword", "authmechanismproperties")


class AddressUnresolved(MongoError):
    """DNS does not resolve a mongodb+srv:// connection string."""


def address_for_tools(uri: str) -> str:
    """A connection string with which a tool connects and logs in where the driver does with `uri`.

    It names no database, because a tool would work on that one only. It always names the authentication database:
    without it a tool uses the one of its `--db` (`GetAuthenticationDatabase` in common/options/options.go of the
    Database Tools), whereas the driver uses `admin`.

    Raises:
        AddressUnresolved: the string begins with mongodb+srv:// and DNS does not answer.
    """
    scheme, login, hosts, database, query = _parts(uri)
    options = {name.lower(): value for name, value in parse_qsl(query)}
    settings = [setting for setting in query.split("&") if setting and not _is_left_out(setting)]
    if "authsource" not in options and (source := _login_database(uri, login, database, options)):
        settings.append(f"authSource={quote(source, safe='')}")
    # Before the @, the driver reads a plus as a space and the tools read it as a plus.
    user, colon, password = login.partition(":")
    user, password = (quote(unquote_plus(part), safe="") for part in (user, password))
    at = "@" if login else ""
    return f"{scheme}://{user}{colon}{password}{at}{hosts}/{'?' if settings else ''}{'&'.join(settings)}"


def secrets_in(uri: str) -> list[str]:
    """The secrets in a connection string, and the string itself."""
    _, login, _, _, query = _parts(uri)
    password = login.partition(":")[2]
    values = [password, *(value for name, value in parse_qsl(query) if name.lower() in _SECRET_OPTIONS)]
    return [secret for secret in (uri, *values) if secret]


def _parts(uri: str) -> tuple[str, str, str, str, str]:
    """Scheme, user and password, hosts, database and options of a connection string, as spelled in it."""
    scheme, _, rest = uri.partition("://")
    address, _, query = rest.partition("?")
    authority, _, database = address.partition("/")
    login, _, hosts = authority.rpartition("@")
    return scheme, login, hosts, database, query if "&" in query else query.replace(";", "&")


def _is_left_out(setting: str) -> bool:
    name, _, value = setting.partition("=")
    # The driver accepts DEFAULT as a mechanism; the tools refuse it.
    return name.lower() in _OVERRULED or (name.lower() == "authmechanism" and value.upper() == "DEFAULT")


def _login_database(uri: str, login: str, database: str, options: dict[str, str]) -> str | None:
    """Where the driver logs in with a string that has no `authSource`; None where it does not log in."""
    mechanism = options.get("authmechanism", "").upper()
    if mechanism in _EXTERNAL_MECHANISMS:
        return _EXTERNAL
    if not login:
        return None
    if uri.startswith("mongodb+srv://") and (source := _source_in_dns(uri)):
        return source
    # The driver reads what follows a dot as a collection.
    named = unquote_plus(database).partition(".")[0]
    return named or (_EXTERNAL if mechanism == "PLAIN" else "admin")


def _source_in_dns(uri: str) -> str | None:
    """The `authSource` in the TXT record of a mongodb+srv:// name."""
    try:
        options = parse_uri(uri, validate=False)["options"]
    except (ConfigurationError, InvalidURI) as error:
        raise AddressUnresolved(
            f"DNS does not resolve the connection string: {error}. Check that this machine's name server answers, or "
            "use a connection string that begins with mongodb:// and names authSource."
        ) from None
    return next((str(value) for name, value in options.items() if name.lower() == "authsource"), None)
