"""A tool logs in where the driver does, whatever a connection string leaves unsaid."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.resolver
import dns.rrset
import pytest
from pymongo import MongoClient

from nmdc_release_ops.masking import mask
from nmdc_release_ops.mongo.programs.database_tools import MONGODUMP, MONGORESTORE, Invocation, ToolFailed, run
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.programs.tool_address import AddressUnresolved, address_for_tools, secrets_in
from nmdc_release_ops_tests.database_tools import needs_tools

PASSWORD = "p+ss w%rd/:@µ"
EVERYWHERE = [{"role": "readWriteAnyDatabase", "db": "admin"}]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        # Nobody logs in.
        ("mongodb://h", "mongodb://h/"),
        ("mongodb://h:1,i:2/?replicaSet=r", "mongodb://h:1,i:2/?replicaSet=r"),
        ("mongodb://h/nmdc", "mongodb://h/"),
        ("mongodb://h?directConnection=true", "mongodb://h/?directConnection=true"),
        # The database is named by authSource, else by the path, else it is admin.
        ("mongodb://u:p@h/nmdc?authsource=other", "mongodb://u:p@h/?authsource=other"),
        ("mongodb://u:p@h/nmdc?tls=true", "mongodb://u:p@h/?tls=true&authSource=nmdc"),
        ("mongodb://u:p@h/nmdc.a_set", "mongodb://u:p@h/?authSource=nmdc"),
        ("mongodb://u:p@h/a%2Bb", "mongodb://u:p@h/?authSource=a%2Bb"),
        ("mongodb://u:p@h", "mongodb://u:p@h/?authSource=admin"),
        ("mongodb://u:p@h/?directConnection=true", "mongodb://u:p@h/?directConnection=true&authSource=admin"),
        ("mongodb://u:p@h/?tls=true;replicaSet=r", "mongodb://u:p@h/?tls=true&replicaSet=r&authSource=admin"),
        (
            "mongodb://u:p@h/?authMechanism=SCRAM-SHA-256",
            "mongodb://u:p@h/?authMechanism=SCRAM-SHA-256&authSource=admin",
        ),
        ("mongodb://u:p@h/?authMechanism=DEFAULT", "mongodb://u:p@h/?authSource=admin"),
        # Users whom the server does not know itself.
        (
            "mongodb://u:p@h/nmdc?authMechanism=PLAIN",
            "mongodb://u:p@h/?authMechanism=PLAIN&authSource=nmdc",
        ),
        ("mongodb://u:p@h/?authMechanism=PLAIN", "mongodb://u:p@h/?authMechanism=PLAIN&authSource=%24external"),
        (
            "mongodb://h/nmdc?tls=true&authMechanism=MONGODB-X509",
            "mongodb://h/?tls=true&authMechanism=MONGODB-X509&authSource=%24external",
        ),
        (
            "mongodb://CN=u@h/nmdc?authMechanism=MONGODB-X509",
            "mongodb://CN%3Du@h/?authMechanism=MONGODB-X509&authSource=%24external",
        ),
        (
            "mongodb://u%40REALM@h/?authMechanism=GSSAPI",
            "mongodb://u%40REALM@h/?authMechanism=GSSAPI&authSource=%24external",
        ),
        ("mongodb://h/?authMechanism=MONGODB-AWS", "mongodb://h/?authMechanism=MONGODB-AWS&authSource=%24external"),
        # To the driver a plus in a password is a space.
        ("mongodb://u:a+b%2Bc@h/", "mongodb://u:a%20b%2Bc@h/?authSource=admin"),
        # With authSource given, DNS is not asked.
        ("mongodb+srv://u:p@h.i.j/nmdc?authSource=other", "mongodb+srv://u:p@h.i.j/?authSource=other"),
        # The driver reads from the primary, whatever the string says.
        (
            "mongodb://u:p@h/?readPreference=secondary&readPreferenceTags=a:b&maxStalenessSeconds=90&w=1",
            "mongodb://u:p@h/?w=1&authSource=admin",
        ),
    ],
)
def test_a_tool_is_told_in_full_what_the_driver_concludes(uri: str, expected: str) -> None:
    assert address_for_tools(uri) == expected


@pytest.mark.parametrize("uri", ["mongodb://u:a+b@h/x", "mongodb://u:a%20b@h/", "mongodb://u:a%20b@h/?w=1"])
def test_a_password_is_masked_however_it_is_spelled(uri: str) -> None:
    for line in (uri, address_for_tools(uri), "a b", "a%20b"):
        masked = mask(line, secrets_in(uri))
        assert not {"a b", "a%20b", "a+b"} & set(masked.replace("@", ":").split(":"))


@contextmanager
def name_server(records: dict[tuple[str, str], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A DNS server on the loopback address that knows `records`, by name and type; the driver asks it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                asked, sender = listening.recvfrom(4096)
                if not asked:
                    return
                query = dns.message.from_wire(asked)
                question = query.question[0]
                kind = dns.rdatatype.to_text(question.rdtype)
                answer = dns.message.make_response(query)
                answer.flags |= dns.flags.RA
                if data := records.get((question.name.to_text(), kind)):
                    answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, data))
                listening.sendto(answer.to_wire(), sender)

        serving = threading.Thread(target=serve)
        serving.start()
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], listening.getsockname()[1]
        resolver.lifetime = 10
        monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
        try:
            yield
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
                ending.sendto(b"", listening.getsockname())
            serving.join()


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [('"authSource=told&replicaSet=r"', "nmdc", "told"), ('"replicaSet=r"', "nmdc", "nmdc"), ("", "", "admin")],
)
def test_a_name_that_dns_explains_is_explained_to_the_tools_as_to_the_driver(
    monkeypatch: pytest.MonkeyPatch, text: str, path: str, expected: str
) -> None:
    records = {
        ("_mongodb._tcp.set.example.org.", "SRV"): "0 0 27017 one.example.org.",
        ("set.example.org.", "TXT"): text,
    }
    with name_server(records, monkeypatch):
        uri = f"mongodb+srv://u:p@set.example.org/{path}"
        assert address_for_tools(uri) == f"mongodb+srv://u:p@set.example.org/?authSource={expected}"


def test_a_name_that_dns_does_not_know_is_an_error_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with name_server({}, monkeypatch), pytest.raises(AddressUnresolved, match="DNS does not resolve") as failure:
        address_for_tools("mongodb+srv://u:s3cret@set.example.org/")
    assert "s3cret" not in str(failure.value)


@pytest.fixture(scope="module")
def users(guarded_mongod: PrivateMongod) -> Iterator[None]:
    """One user in `admin` and one in a database of its own, with a password that has to be escaped."""
    with MongoClient[Any](guarded_mongod.uri) as client:
        for database in ("admin", "users+of-ours"):
            client[database].command("createUser", "tool user", pwd=PASSWORD, roles=EVERYWHERE)
        yield
        for database in ("admin", "users+of-ours"):
            client[database].command("dropUser", "tool user")


LOGIN = "tool+user:p%2Bss+w%25rd%2F%3A%40%C2%B5"
ADDRESSES = [
    f"{LOGIN}@HOST",
    f"{LOGIN}@HOST/",
    f"{LOGIN}@HOST/?directConnection=true",
    f"{LOGIN}@HOST/admin",
    f"{LOGIN}@HOST/nmdc?authSource=admin&directConnection=true&readPreference=secondary",
    f"{LOGIN}@HOST/?authMechanism=DEFAULT",
    f"{LOGIN}@HOST/?authMechanism=SCRAM-SHA-256",
    f"{LOGIN.replace('+', '%20')}@HOST/?replicaSet=private&w=1",
]


@needs_tools
@pytest.mark.parametrize("address", ADDRESSES)
def test_genuine_tools_log_in_wherever_the_driver_does(
    users: None, guarded_mongod: PrivateMongod, tmp_path: Path, address: str
) -> None:
    uri = "mongodb://" + address.replace("HOST", f"127.0.0.1:{guarded_mongod.port}")
    with MongoClient[Any](uri) as client:
        client.address_check.a_set.insert_one({"_id": 1})
        logged: list[str] = []
        run(
            Invocation(MONGODUMP, ["--db=address_check", f"--out={tmp_path / 'dump'}"], uri),
            folder=tmp_path,
            log=logged.append,
        )
        client.address_check.a_set.drop()
        run(
            Invocation(MONGORESTORE, ["--nsInclude=address_check.*", f"--dir={tmp_path / 'dump'}"], uri),
            folder=tmp_path,
            log=logged.append,
        )
        assert list(client.address_check.a_set.find()) == [{"_id": 1}]
        client.address_check.a_set.drop()


@needs_tools
def test_genuine_tools_log_in_at_the_database_in_the_path(
    users: None, guarded_mongod: PrivateMongod, tmp_path: Path
) -> None:
    uri = f"mongodb://{LOGIN}@127.0.0.1:{guarded_mongod.port}/users%2Bof-ours?directConnection=true"
    with MongoClient[Any](uri) as client:
        client.admin.command("ping")
    run(
        Invocation(MONGODUMP, ["--db=nmdc", "--collection=absent", f"--out={tmp_path / 'dump'}"], uri),
        folder=tmp_path,
        log=lambda line: None,
    )


@needs_tools
def test_a_wrong_password_is_not_in_what_the_tool_says(guarded_mongod: PrivateMongod, tmp_path: Path) -> None:
    uri = f"mongodb://administrator:wr0ng+secret@127.0.0.1:{guarded_mongod.port}/?directConnection=true"
    with pytest.raises(ToolFailed, match="auth error") as failure:
        run(
            Invocation(MONGODUMP, ["--db=nmdc", f"--out={tmp_path / 'dump'}"], uri),
            folder=tmp_path,
            log=lambda line: None,
        )
    assert "secret" not in str(failure.value)
