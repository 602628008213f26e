"""Runs in a schema release's environment: what refscan itself finds in a database, a JSON line for each violation.

Arguments: database on the server of NMDC_TRANSFORMER_URI, file to write.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from linkml_runtime import SchemaView
from nmdc_schema.nmdc_data import get_nmdc_schema_definition
from pymongo import MongoClient
from refscan.lib.helpers import get_collection_name_to_class_names_map, identify_references
from refscan.scanner import scan
from rich.console import Console


def main() -> None:
    view = SchemaView(get_nmdc_schema_definition())
    references = identify_references(view, get_collection_name_to_class_names_map(view))
    with MongoClient[dict[str, Any]](os.environ["NMDC_TRANSFORMER_URI"]) as client:
        # Besides the allowed collections, it looks for the target of a reference in all others.
        found = scan(client[sys.argv[1]], view, references, [], True, Console())
    with Path(sys.argv[2]).open("w") as file:
        for one in (one for violations in found.values() for one in violations):
            document = one.source_document_id or str(one.source_document_object_id)
            where = one.source_collection_name, one.source_class_name, document, one.source_field_name
            file.write(json.dumps([*where, str(one.target_id), one.name_of_collection_containing_target]) + "\n")


main()
