"""A program that writes to the origin as an ordinary user, all the time, and keeps account of what was acknowledged.

`python -m nmdc_release_ops_tests.hammer ACCOUNT`, with the connection string in `HAMMER_URI`. It inserts, updates and
deletes documents of collections that a release changes and of one that it leaves alone, one after the other, with
majority write concern. Each write is noted in the account, a file of JSON lines, before it is sent and after it was
answered; so that a write which was under way when the hammer was killed is known to be in doubt. All documents that
it leaves are valid for the schema.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.results import DeleteResult, InsertOneResult, UpdateResult

from nmdc_release_ops.demo.origin import DATABASE

PROJECT = Path(__file__).parent.parent
"""Not from another file: a hammer starts without Dagster, in a fifth of the time."""
SECONDS_BETWEEN_WRITES = 0.01
USER_WRITES_BLOCKED = 371
# By collection: where ids of documents of ours begin. The schema has a pattern for them.
INSERTED = {"biosample_set": "nmdc:bsm-99-hammer", "study_set": "nmdc:sty-99-hammer", "jobs": "nmdc:hammer"}


@dataclass(frozen=True)
class Entry:
    """A write of the account.

    Attributes:
        value: the name that the document has after it; None where it is deleted.
        outcome: "acknowledged", "refused", "in doubt", or "matched nothing": the server said that there was no such
            document, as it does for the moment between the two renames of a collection. That is no acknowledged write, but the
            document has to be there in the end.
    """

    collection: str
    id: str
    value: str | None
    outcome: str

    @property
    def may_be_done(self) -> bool:
        return self.outcome in ("acknowledged", "in doubt")


def read_account(path: Path) -> list[Entry]:
    """Every write that was tried, in order."""
    tried: dict[int, dict[str, Any]] = {}
    outcomes: dict[int, str] = {}
    # The last line may be half a line, of a hammer that was killed; then it is about a write in doubt.
    for line in path.read_text().splitlines(keepends=True) if path.exists() else []:
        if line.endswith("\n"):
            noted = json.loads(line)
            if "outcome" in noted:
                outcomes[noted["number"]] = noted["outcome"]
            else:
                tried[noted.pop("number")] = noted
    return [Entry(**noted, outcome=outcomes.get(number, "in doubt")) for number, noted in tried.items()]


def lost_writes(path: Path, database: Database[Any]) -> list[str]:
    """The acknowledged writes of an account that the database does not have, one line each."""
    account = read_account(path)
    allowed: dict[tuple[str, str], list[str | None]] = {}
    for entry in account:
        place = (entry.collection, entry.id)
        if entry.outcome == "acknowledged":
            allowed[place] = [entry.value]
        elif entry.outcome == "in doubt" and place in allowed:
            allowed[place].append(entry.value)
    # A document is deleted once, and never written to again.
    deleted = {(entry.collection, entry.id) for entry in account if entry.value is None and entry.may_be_done}
    lost = [
        f"{collection} {identifier}: is gone"
        for collection, identifier in {
            (entry.collection, entry.id) for entry in account if entry.outcome == "matched nothing"
        }
        - deleted
        if not database[collection].find_one({"id": identifier})
    ]
    for (collection, identifier), values in allowed.items():
        document = database[collection].find_one({"id": identifier})
        found = None if document is None else document.get("name")
        if found not in values:
            lost.append(f"{collection} {identifier}: {found!r}, and not {' or '.join(map(repr, values))}")
    return lost


class Hammer:
    """A running hammer."""

    def __init__(self, process: subprocess.Popen[bytes], account: Path) -> None:
        self.process = process
        self.account = account

    def count(self, outcome: str, collection: str | None = None) -> int:
        return sum(
            entry.outcome == outcome and collection in (None, entry.collection) for entry in read_account(self.account)
        )

    def wait_for_more(self, outcome: str, collection: str, writes: int = 3) -> None:
        """Wait until so many more writes to a collection had this outcome."""
        wanted = self.count(outcome, collection) + writes
        deadline = time.monotonic() + 60
        while self.count(outcome, collection) < wanted:
            assert self.process.poll() is None, f"the hammer ended: {self.process.returncode}"
            assert time.monotonic() < deadline, f"no {outcome} writes to {collection}"
            time.sleep(0.02)

    def pause(self) -> None:
        """Let it write no more until `go_on`; what was under way has come to its end."""
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def hammering(uri: str, account: Path) -> Iterator[Hammer]:
    """A hammer that has begun to write; it is killed in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nmdc_release_ops_tests.hammer", str(account)],
        env={**os.environ, "HAMMER_URI": uri},
        cwd=PROJECT,
    )
    hammer = Hammer(process, account)
    try:
        for collection in INSERTED:
            hammer.wait_for_more("acknowledged", collection, 2)
        yield hammer
    finally:
        hammer.kill()


class _Writer:
    def __init__(self, database: Database[Any], account: Any) -> None:
        self._database = database
        self._account = account
        self._dice = Random(os.getpid())
        self._number = 0
        self._templates = {name: database[name].find_one({}) or {} for name in INSERTED}
        self._ids = {name: [document["id"] for document in database[name].find({}, {"id": 1})] for name in INSERTED}
        self._ours: dict[str, list[str]] = {name: [] for name in INSERTED}

    def write(self) -> str:
        """Make one write and note it; return its outcome."""
        self._number += 1
        collection = self._dice.choice(sorted(INSERTED))
        kind = self._dice.choice(["insert", "update", "update", "delete"])
        if kind == "insert" or (kind == "delete" and not self._ours[collection]):
            identifier = f"{INSERTED[collection]}{os.getpid()}x{self._number}"
            outcome = self._insert(collection, identifier)
            if outcome == "acknowledged":
                self._ours[collection].append(identifier)
        elif kind == "update":
            outcome = self._update(collection, self._dice.choice(self._ids[collection] + self._ours[collection]))
        else:
            # Never written to again, whatever comes of it.
            outcome = self._delete(collection, self._ours[collection].pop())
        return outcome

    def _insert(self, collection: str, identifier: str) -> str:
        name = f"inserted {self._number}"
        template = {key: value for key, value in self._templates[collection].items() if key != "_id"}
        document = {**template, "id": identifier, "name": name}
        return self._noted(collection, identifier, name, lambda: self._database[collection].insert_one(document))

    def _update(self, collection: str, identifier: str) -> str:
        name = f"updated {self._number}"
        change = {"$set": {"name": name}}
        return self._noted(
            collection, identifier, name, lambda: self._database[collection].update_one({"id": identifier}, change)
        )

    def _delete(self, collection: str, identifier: str) -> str:
        return self._noted(
            collection, identifier, None, lambda: self._database[collection].delete_one({"id": identifier})
        )

    def _noted(self, collection: str, identifier: str, value: str | None, write: Any) -> str:
        self._note(number=self._number, collection=collection, id=identifier, value=value)
        try:
            done = write()
            outcome = "acknowledged" if _found(done) else "matched nothing"
        except OperationFailure as error:
            outcome = "refused" if error.code == USER_WRITES_BLOCKED else "in doubt"
        except PyMongoError:
            outcome = "in doubt"
        self._note(number=self._number, outcome=outcome)
        return outcome

    def _note(self, **noted: Any) -> None:
        self._account.write(json.dumps(noted) + "\n")
        self._account.flush()


def _found(done: InsertOneResult | UpdateResult | DeleteResult) -> bool:
    """Whether the server had a document to write to."""
    match done:
        case UpdateResult():
            return done.matched_count > 0
        case DeleteResult():
            return done.deleted_count > 0
        case InsertOneResult():
            return True


def main() -> None:
    with (
        Path(sys.argv[1]).open("a") as account,
        MongoClient[Any](os.environ["HAMMER_URI"], w="majority", appname="hammer") as client,
    ):
        writer = _Writer(client[DATABASE], account)
        while True:
            writer.write()
            time.sleep(SECONDS_BETWEEN_WRITES)


if __name__ == "__main__":
    main()
