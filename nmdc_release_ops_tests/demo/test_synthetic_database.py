"""What the demo's database promises to those who release it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import bson
import pytest

from nmdc_release_ops.demo.blueprint import Blueprint
from nmdc_release_ops.demo.database import INDEXES, SCHEMA_VERSION, VIEWS, collections, other_collections
from nmdc_release_ops.schema.environments.environment import SchemaEnvironments
from nmdc_release_ops.schema.version import SchemaVersion

JUDGE = Path(__file__).with_name("judge_documents.py")

UNFILLABLE = {"manifest_set"}
"""Release 11.23.0's pattern for a Manifest's id (`\\{id_nmdc_prefix\\}:manif-...`) refuses every real id."""


def documents(scale: int, seed: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, document) for name, stream in collections(scale, seed) for document in stream)


def without_object_id(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "_id"}


def digest(scale: int, seed: int) -> str:
    contents = sha256()
    for name, document in documents(scale, seed):
        contents.update(name.encode() + bson.encode(document))
    for name, stream in other_collections(seed):
        for document in stream:
            contents.update(name.encode() + bson.encode(document))
    return contents.hexdigest()


class Court:
    """The environment of a schema release, where documents are judged."""

    def __init__(self, python: Path) -> None:
        self.python = python

    def judge(self, pairs: Iterator[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
        lines = "\n".join(json.dumps([name, without_object_id(document)]) for name, document in pairs)
        judged = subprocess.run(
            [str(self.python), str(JUDGE)], input=lines, text=True, capture_output=True, check=False
        )
        assert judged.returncode == 0, judged.stderr
        report: dict[str, Any] = json.loads(judged.stdout)
        return report


@pytest.fixture(scope="session")
def court(schema_environments: SchemaEnvironments) -> Court:
    return Court(schema_environments.prepare(SchemaVersion.parse(SCHEMA_VERSION)).python)


@pytest.fixture(scope="session")
def report(court: Court) -> dict[str, Any]:
    return court.judge(documents(1_000))


def test_every_document_is_valid_for_11_23_0_by_linkml_s_own_validator(report: dict[str, Any]) -> None:
    assert report["violations"] == []
    assert sum(sum(classes.values()) for classes in report["counts"].values()) == 1_000


def test_every_reference_points_at_a_document_of_an_allowed_class(report: dict[str, Any]) -> None:
    assert report["broken_references"] == []
    assert {
        "Biosample.associated_studies",
        "Biosample.collected_from",
        "CalibrationInformation.calibration_object",
        "Culturing.has_input",
        "DataObject.was_generated_by",
        "FunctionalAnnotationAggMember.was_generated_by",
        "MagsAnalysis.superseded_by",
        "MassSpectrometry.generates_calibration",
        "NomAnalysis.uses_calibration",
        "OrganismSample.expected_organism",
        "Pooling.has_input",
        "Study.part_of",
    } <= set(report["references"])


@pytest.mark.faults
def test_the_judge_sees_what_is_wrong_with_a_document(court: Court) -> None:
    def spoil(name: str, document: dict[str, Any]) -> dict[str, Any]:
        if name == "biosample_set":
            return {**document, "depth": {"type": "nmdc:QuantityValue", "has_unit": "Cel"}}
        if name == "study_set":
            return {**document, "study_category": "holiday"}
        if name == "storage_process_set":
            return {**document, "has_input": ["nmdc:bsm-11-nowhere"]}
        return document

    first = ((name, spoil(name, next(stream))) for name, stream in collections(500) if name not in UNFILLABLE)
    spoiled = court.judge(first)
    assert {violation[0] for violation in spoiled["violations"]} == {"biosample_set", "study_set"}
    assert ["StorageProcess", "has_input", "nmdc:bsm-11-nowhere", None] in spoiled["broken_references"]


def test_it_has_the_variety_that_migrations_and_validation_meet(report: dict[str, Any]) -> None:
    classes = {collection: set(counts) for collection, counts in report["counts"].items()}
    assert len(classes["material_processing_set"]) >= 5
    assert len(classes["workflow_execution_set"]) >= 6
    assert classes["data_generation_set"] == {"NucleotideSequencing", "MassSpectrometry"}
    assert classes["configuration_set"] == {"MassSpectrometryConfiguration", "ChromatographyConfiguration"}

    found = {name: list(stream) for name, stream in collections(3_000)}
    generations, biosamples = found["data_generation_set"], found["biosample_set"]
    investigators = [g["principal_investigator"] for g in generations if "principal_investigator" in g]
    orcids = {investigator.get("orcid", None) for investigator in investigators} - {None}
    assert 0 < len(investigators) < len(generations)
    assert any("name" not in investigator for investigator in investigators)
    for form in ("orcid:", "https://orcid.org/", "0000-", " "):
        assert any(orcid.startswith(form) for orcid in orcids), form
    assert "" in orcids and any(orcid.endswith("x") for orcid in orcids)
    assert {study["study_category"] for study in found["study_set"]} == {"consortium", "research_study"}
    assert any("associated_dois" in study for study in found["study_set"])
    assert any(len(run.get("mags_list", ())) > 1 for run in found["workflow_execution_set"])
    assert len({biosample["env_medium"]["term"]["id"] for biosample in biosamples}) >= 3
    assert any("collection_date_inc" in biosample for biosample in biosamples)
    assert not any("collection_time_inc" in biosample for biosample in biosamples)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert digest(2_000, seed=5) == digest(2_000, seed=5)
    assert digest(2_000, seed=5) != digest(2_000, seed=6)


def test_the_same_bytes_come_from_another_process() -> None:
    program = f"from {__name__} import digest; print(digest(600, seed=5))"
    other = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=True)
    assert other.stdout.strip() == digest(600, seed=5)


@pytest.mark.parametrize("scale", [500, 20_000, 200_000])
def test_it_is_as_large_as_asked_for(scale: int) -> None:
    assert sum(1 for _ in documents(scale)) == scale


def test_aggregates_are_the_great_majority_of_a_large_database() -> None:
    million = Blueprint.for_scale(1_000_000, seed=0)
    assert 0.85 <= million.aggregates / million.documents <= 0.9


def test_memory_does_not_grow_with_scale() -> None:
    def peak(scale: int) -> int:
        program = (
            "import resource\n"
            "from nmdc_release_ops.demo.database import collections\n"
            f"for _, stream in collections({scale}):\n"
            "    for _ in stream: pass\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        child = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=True)
        return int(child.stdout)

    assert peak(400_000) < peak(20_000) + 8 * 1024  # KiB


def test_no_collection_is_empty_at_small_scale(report: dict[str, Any]) -> None:
    sizes = {name: sum(1 for _ in stream) for name, stream in collections(500)}
    assert {name for name, size in sizes.items() if size == 0} == UNFILLABLE
    assert sorted(sizes) == report["collections"]


def test_ids_are_unique(report: dict[str, Any]) -> None:
    assert report["duplicates"] == []
    for name, stream in collections(200_000):
        keys = [
            (document["_id"], document.get("id"), document.get("gene_function_id"))
            for document in islice(stream, 100_000)
        ]
        assert len({key for key, _, _ in keys}) == len(keys), name
        if "id" in {field for index in INDEXES.get(name, ()) for field in index.document["key"]}:
            assert len({identifier for _, identifier, _ in keys}) == len(keys), name


def test_no_annotation_has_a_gene_function_twice() -> None:
    aggregates = dict(collections(60_000))["functional_annotation_agg"]
    pairs = [(document["was_generated_by"], document["gene_function_id"]) for document in aggregates]
    assert len(set(pairs)) == len(pairs)


def test_nothing_outside_the_schema_is_named_like_a_collection_of_it() -> None:
    schema, others = set(dict(collections(500))), dict(other_collections())
    assert not schema & set(others)
    assert all(next(stream) for stream in others.values())
    assert set(INDEXES) <= schema | set(others)
    assert {source for source, _ in VIEWS.values()} <= schema
