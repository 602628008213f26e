"""Runs in a schema release's environment: judges documents one by one, as the migration CLI of nmdc-runtime does.

That is, in its `validate_document`: each document without its `_id`, as an instance of the class that its `type` names,
by LinkML's `Validator` with the plugins that its `create_validator` gives it. The CLI stops at the first invalid
document; this one goes on. Only looking up the class is cheaper here.

Arguments: database, collections (JSON), the file to write invalid documents to (JSON lines: collection and id).
Prints the documents judged, and the seconds that importing and making the validator took, and judging.
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
    judged = 0
    with path.open("w") as file:
        for collection in names:
            for document in client[name][collection].find():
                identifier = str(document.get("id", document["_id"]))
                without_id = {key: value for key, value in document.items() if key != "_id"}
                report = validator.validate(without_id, target_class=class_of_type[without_id["type"]])
                judged += 1
                if report.results:
                    file.write(json.dumps([collection, identifier]) + "\n")
    sys.stdout.write(json.dumps({"judged": judged, "preparing": ready - STARTED, "judging": time.monotonic() - ready}))


main()
