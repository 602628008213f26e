"""The indexes of NMDC's database, except those on `_id`.

The NMDC Runtime ensures the unique ones on `id` at start. Its compound unique index keeps it from counting a gene
function of an annotation twice.
"""

import pymongo

_IDENTIFIED = (
    "biosample_set",
    "calibration_set",
    "collecting_biosamples_from_site_set",
    "configuration_set",
    "data_generation_set",
    "data_object_set",
    "field_research_site_set",
    "instrument_set",
    "manifest_set",
    "material_processing_set",
    "organism_sample_set",
    "organism_set",
    "processed_sample_set",
    "storage_process_set",
    "study_set",
    "workflow_execution_set",
)
"""The collections whose class has an `id`; annotations, features and aggregates have none."""

INDEXES: dict[str, list[pymongo.IndexModel]] = {
    name: [pymongo.IndexModel([("id", pymongo.ASCENDING)], unique=True)] for name in _IDENTIFIED
}
"""The indexes of each collection, including collections outside the schema."""

INDEXES["functional_annotation_agg"] = [
    pymongo.IndexModel([("was_generated_by", pymongo.ASCENDING), ("gene_function_id", pymongo.ASCENDING)], unique=True),
    pymongo.IndexModel([("gene_function_id", pymongo.ASCENDING)]),
]
INDEXES["data_object_set"] += [
    pymongo.IndexModel([("data_object_type", pymongo.ASCENDING), ("was_generated_by", pymongo.ASCENDING)]),
    pymongo.IndexModel(
        [("superseded_by", pymongo.ASCENDING)],
        name="superseded",
        partialFilterExpression={"superseded_by": {"$exists": True}},
    ),
]
INDEXES["biosample_set"] += [
    pymongo.IndexModel([("associated_studies", pymongo.ASCENDING), ("env_medium.term.id", pymongo.ASCENDING)])
]
INDEXES["study_set"] += [pymongo.IndexModel([("name", pymongo.TEXT), ("description", pymongo.TEXT)], name="study_text")]
INDEXES["workflow_execution_set"] += [
    pymongo.IndexModel([("was_informed_by", pymongo.ASCENDING), ("type", pymongo.ASCENDING)]),
    pymongo.IndexModel([("qc_status", pymongo.ASCENDING)], sparse=True),
]
INDEXES["alldocs"] = [
    pymongo.IndexModel([("id", pymongo.ASCENDING)], unique=True),
    pymongo.IndexModel([("_type_and_ancestors", pymongo.ASCENDING)]),
]
INDEXES["jobs"] = [
    pymongo.IndexModel([("id", pymongo.ASCENDING)], unique=True),
    pymongo.IndexModel([("workflow.id", pymongo.ASCENDING), ("config.object_id", pymongo.ASCENDING)]),
]
INDEXES["operations"] = [pymongo.IndexModel([("id", pymongo.ASCENDING)], unique=True)]
INDEXES["objects"] = [
    pymongo.IndexModel([("id", pymongo.ASCENDING)], unique=True),
    pymongo.IndexModel([("checksums.type", pymongo.ASCENDING), ("checksums.checksum", pymongo.ASCENDING)]),
]
INDEXES["users"] = [pymongo.IndexModel([("username", pymongo.ASCENDING)], unique=True)]
INDEXES["fs.files"] = [pymongo.IndexModel([("filename", pymongo.ASCENDING), ("uploadDate", pymongo.ASCENDING)])]
INDEXES["fs.chunks"] = [pymongo.IndexModel([("files_id", pymongo.ASCENDING), ("n", pymongo.ASCENDING)], unique=True)]
INDEXES["_runtime.healthcheck"] = [
    pymongo.IndexModel([("checked_at", pymongo.ASCENDING)], expireAfterSeconds=60 * 365 * 24 * 3600)
]
