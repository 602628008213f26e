"""Runs in a schema release's environment: reads a database in tiny lots and runs, and prints how many documents came.

Argument: database on the server of NMDC_TRANSFORMER_URI. Prints JSON: collection -> [documents, lots].
"""

import json
import sys
from collections import Counter

from worker.release import transformer
from worker.validating import chunks as lots

lots.LOT_DOCUMENTS, lots._RUN_DOCUMENTS = 7, 3


def main() -> None:
    documents: Counter[str] = Counter()
    many: Counter[str] = Counter()
    with transformer(sys.argv[1]) as database:
        for lot in lots.lots(database, database.list_collection_names()):
            many[lot.collection] += 1
            for run in lots.read(database, lot, lambda: lots.LENIENT):
                if run.documents is not None:
                    documents[lot.collection] += len(run.documents)
                else:
                    documents[lot.collection] += len(list(run.apart(lots.LENIENT)))
    sys.stdout.write(json.dumps({name: [documents[name], many[name]] for name in many}))


main()
