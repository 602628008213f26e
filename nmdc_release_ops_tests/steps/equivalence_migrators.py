"""The checkout of a schema release whose migrators do everything that makes a promotion hard."""

from pathlib import Path

from nmdc_release_ops.schema.packages.package import SchemaPackage
from nmdc_release_ops_tests.schema.packages.checkout import MODULE, make_checkout

RENAMED, RENAMED_TO = "collecting_biosamples_from_site_set", "site_visit_set"
DELETED = "genome_feature_set"
LOOK, DROP, RETIRED = "look at the organisms", "drop the storage", "retired"
"""Words of a study's description, and the name of an instrument, which decide what the migrators do."""

_MIGRATOR = f'''
from nmdc_schema.migrators.migrator_base import MigratorBase

class Migrator(MigratorBase):
    _from_version = "11.25.0"
    _to_version = "11.26.0"

    def upgrade(self, commit_changes=False):
        adapter = self.adapter
        self.numbers = {{}}
        # A lookup into another collection for each document.
        adapter.process_each_document("biosample_set", [self.look_up])
        # A memory: ids are numbered anew, and references to them follow.
        old = []
        adapter.do_for_each_document("calibration_set", lambda one: old.append(one["id"]))
        self.numbers = {{one: f"nmdc:calib-97-n{{number}}" for number, one in enumerate(sorted(old))}}
        adapter.process_each_document("calibration_set", [self.number])
        for name in ("data_generation_set", "workflow_execution_set"):
            adapter.process_each_document(name, [self.follow])
        # Insertions that depend on another collection, which is only read.
        sites = []
        adapter.do_for_each_document("field_research_site_set", lambda one: sites.append(one["id"]))
        for number, site in enumerate(sorted(sites)):
            sample = {{"_id": f"made {{number}}", "id": f"nmdc:procsm-98-n{{number}}", "type": "nmdc:ProcessedSample"}}
            adapter.insert_document("processed_sample_set", {{**sample, "name": f"of {{site}}"}})
        adapter.delete_documents_having_value_in_field("instrument_set", "name", "{RETIRED}")
        adapter.rename_collection("{RENAMED}", "{RENAMED_TO}")
        adapter.delete_collection("{DELETED}")
        # Collections that are only used where a certain document is found.
        said = []
        adapter.do_for_each_document("study_set", lambda one: said.append(one.get("description", "")))
        if any("{LOOK}" in one for one in said):
            adapter.process_each_document("organism_set", [self.mark])
        if any("{DROP}" in one for one in said):
            adapter.delete_collection("storage_process_set")

    def look_up(self, biosample):
        study = self.adapter.get_document_having_value_in_field("study_set", "id", biosample["associated_studies"][0])
        biosample["description"] = "of " + (study["name"] if study else "nothing")
        return biosample

    def number(self, calibration):
        calibration["id"] = self.numbers[calibration["id"]]
        return calibration

    def follow(self, document):
        if "generates_calibration" in document:
            one = document["generates_calibration"]
            document["generates_calibration"] = self.numbers.get(one, one)
        if "uses_calibration" in document:
            document["uses_calibration"] = [self.numbers.get(one, one) for one in document["uses_calibration"]]
        return document

    def mark(self, organism):
        organism["description"] = "looked at"
        return organism
'''


def make_hard_checkout(package: SchemaPackage, folder: Path) -> Path:
    """Write it to `folder`, from the unpacked package of the release 11.25."""
    make_checkout(package, folder)
    for path in (folder / "nmdc_schema").glob("nmdc*"):
        if path.is_file():
            path.write_text(path.read_text("utf-8").replace(RENAMED, RENAMED_TO), "utf-8")
    (folder / "nmdc_schema" / "migrators" / f"{MODULE}.py").write_text(_MIGRATOR)
    return folder
