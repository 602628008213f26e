"""A synthetic NMDC database: every collection of schema 11.23.0, of any size, the same for the same seed.

Every document is valid for schema 11.23.0, and every reference points to a document of a class that its slot allows;
after the migrators to 11.25.0 the same is true for 11.25.0. Documents are generated one at a time on demand,
so memory does not grow with the database.
"""

from collections.abc import Callable, Iterator
from typing import Any

from nmdc_release_ops.demo import (
    annotations,
    biosamples,
    generations,
    instruments,
    processing,
    studies,
    workflows,
)
from nmdc_release_ops.demo.blueprint import Blueprint
from nmdc_release_ops.demo.identifiers import object_id, object_id_prefix
from nmdc_release_ops.demo.indexes import INDEXES
from nmdc_release_ops.demo.unmanaged import VIEWS, other_collections
from nmdc_release_ops.demo.values import Document

__all__ = ["INDEXES", "SCHEMA_VERSION", "VIEWS", "collections", "other_collections"]

SCHEMA_VERSION = "11.23.0"
"""The schema version that the database is valid for."""


def _manifests(_: Blueprint) -> Iterator[Document]:
    # In 11.23.0 the pattern of a Manifest's id contains placeholders that were never filled in; in 11.25.0 it was
    # repaired. No id matches both patterns, so no manifest is valid for both versions.
    return iter(())


_COLLECTIONS: dict[str, Callable[[Blueprint], Iterator[Document]]] = {
    "study_set": studies.studies,
    "field_research_site_set": studies.field_sites,
    "instrument_set": instruments.instruments,
    "configuration_set": instruments.configurations,
    "calibration_set": instruments.calibrations,
    "manifest_set": _manifests,
    "organism_set": studies.organisms,
    "biosample_set": biosamples.biosamples,
    "collecting_biosamples_from_site_set": studies.collecting_visits,
    "material_processing_set": processing.material_processing,
    "processed_sample_set": processing.processed_samples,
    "organism_sample_set": processing.organism_samples,
    "storage_process_set": processing.storage_processes,
    "data_generation_set": generations.data_generations,
    "workflow_execution_set": workflows.workflow_executions,
    "data_object_set": workflows.data_objects,
    "functional_annotation_set": annotations.functional_annotations,
    "genome_feature_set": annotations.genome_features,
    "functional_annotation_agg": annotations.functional_annotation_aggregates,
}


def _with_object_ids(collection: str, seed: int, documents: Iterator[Document]) -> Iterator[dict[str, Any]]:
    prefix = object_id_prefix(collection, seed)
    for ordinal, document in enumerate(documents):
        yield {"_id": object_id(prefix, ordinal), **document}


def collections(scale: int = 20_000, seed: int = 0) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Every collection of the schema with a stream of its documents, in a fixed order.

    `scale` is the approximate number of documents in all, and at least about 450, because every story occurs once.
    `manifest_set` is empty; it is listed so that it is created.
    """
    blueprint = Blueprint.for_scale(scale, seed)
    for name, documents in _COLLECTIONS.items():
        stream = documents(blueprint)
        # The aggregates already have an _id, and there are too many of them for another generator.
        yield name, stream if name == "functional_annotation_agg" else _with_object_ids(name, seed, stream)
