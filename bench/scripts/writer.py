"""Updates documents of one collection at a steady rate, as an ordinary user, and notes what each write took.

Arguments: the collection, writes per second, and the file to write. The connection string is in `WRITER_URI`. Each line of the
file is the time of a write (seconds since 1970), the seconds until it was acknowledged, or -1 where it was refused. It writes
until it is ended.
"""

import os
import sys
import time
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from bench.data import DATABASE

_DOCUMENTS = 2_000


def main() -> None:
    name, rate, path = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    with MongoClient(os.environ["WRITER_URI"]) as client, path.open("w", buffering=1) as file:
        collection = client[DATABASE][name]
        ids = [one["_id"] for one in collection.find({}, {"_id": 1}).limit(_DOCUMENTS)]
        due = time.time()
        number = 0
        while True:
            due = max(due + 1 / rate, time.time() - 1)
            time.sleep(max(0.0, due - time.time()))
            began = time.time()
            try:
                collection.update_one({"_id": ids[number % len(ids)]}, {"$set": {"description": f"write {number}"}})
            except PyMongoError:
                file.write(f"{began} -1\n")
                continue
            file.write(f"{began} {time.time() - began}\n")
            number += 1


if __name__ == "__main__":
    main()
