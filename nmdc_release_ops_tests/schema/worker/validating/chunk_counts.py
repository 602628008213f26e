"""Runs in a schema release's environment: reads a database in tiny chunks and batches, and counts the documents.

Argument: database on the server of NMDC_TRANSFORMER_URI. Prints JSON: collection -> [documents, chunks].
"""

import json
import sys
from collections import Counter

from worker.release import transformer
from worker.validating import chunks
from worker.validating.batch import LENIENT

chunks.CHUNK_DOCUMENTS, chunks.BATCH_DOCUMENTS = 7, 3


def main() -> None:
    documents: Counter[str] = Counter()
    chunks_read: Counter[str] = Counter()
    with transformer(sys.argv[1]) as database:
        for chunk in chunks.split_into_chunks(database, database.list_collection_names()):
            chunks_read[chunk.collection] += 1
            for batch in chunks.read_chunk(database, chunk, lambda: LENIENT):
                if batch.documents is not None:
                    documents[chunk.collection] += len(batch.documents)
                else:
                    documents[chunk.collection] += len(list(batch.split(LENIENT)))
    sys.stdout.write(json.dumps({name: [documents[name], chunks_read[name]] for name in chunks_read}))


main()
