"""Runs in a schema release's environment: validates documents one by one, as the migration CLI of nmdc-runtime does.

That is, in its `validate_document`: each document without its `_id`, as an instance of the class that its `type` names,
by LinkML's `Validator` with the plugins that its `create_validator` gives it. The CLI stops at the first invalid
document; this script continues. Only looking up the class is cheaper here.

Arguments: database, collections (JSON), the file to write invalid documents to (JSON lines: collection and id).
Prints the number of documents validated, and two durations in seconds. Preparing is what does not grow with the data: importing,
making the validator, and the first document of each class, at which LinkML makes the class's JSON Schema. The rest is judging.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

STARTED = time.monotonic()

from linkml.validator import Validator  # noqa: E402
from linkml.validator.plugins import JsonschemaValidationPlugin  # noqa: E402
from linkml_runtime import SchemaView  # noqa: E402
from nmdc_schema.nmdc_data import get_nmdc_schema_definition  # noqa: E402
from nmdc_schema.nmdc_schema_validation_plugin import NmdcSchemaValidationPlugin  # noqa: E402
from pymongo import MongoClient  # noqa: E402


def main() -> None:
    name, names, path = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3])
    client: MongoClient[dict[str, Any]] = MongoClient(os.environ["NMDC_TRANSFORMER_URI"])
    schema = get_nmdc_schema_definition()
    view = SchemaView(schema)
    class_of_type = {str(definition.class_uri): str(name) for name, definition in view.all_classes().items()}
    plugins = [JsonschemaValidationPlugin(closed=True), NmdcSchemaValidationPlugin()]
    validator = Validator(schema=schema, validation_plugins=plugins)
    ready = time.monotonic()
    seen: set[str] = set()
    first_ones = 0.0
    judged = 0
    with path.open("w") as file:
        for collection in names:
            for document in client[name][collection].find():
                identifier = str(document.get("id", document["_id"]))
                without_id = {key: value for key, value in document.items() if key != "_id"}
                target_class = class_of_type[without_id["type"]]
                began = None if target_class in seen else time.monotonic()
                report = validator.validate(without_id, target_class=target_class)
                if began is not None:
                    seen.add(target_class)
                    first_ones += time.monotonic() - began
                judged += 1
                if report.results:
                    file.write(json.dumps([collection, identifier]) + "\n")
    judging = time.monotonic() - ready - first_ones
    sys.stdout.write(json.dumps({"judged": judged, "preparing": ready - STARTED + first_ones, "judging": judging}))


main()
