"""A small synthetic NMDC database of schema 10.2.0, the last one before the "Berkeley schema" 11.0.0.

In this schema samples, sequencing and every workflow had their own collections, and most documents did not name their
class. Every part of the migrator 10.2.0 -> 11.0.0 has something to migrate here.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pymongo
from pymongo.database import Database

from nmdc_release_ops.demo.identifiers import identifier, object_id, object_id_prefix

SCHEMA_VERSION = "10.2.0"
SAMPLES = 6
"""Number of biosamples. Each has a different kind of omics processing."""
_SEED = 10
_KINDS: tuple[tuple[str, str, str], ...] = (
    ("Metagenome", "Illumina NovaSeq S4", "JGI"),
    ("Metatranscriptome", "Illumina HiSeq 2500", "JGI"),
    ("Metabolomics", "GC-MS", "EMSL"),
    ("Organic Matter Characterization", "12T FT-ICR MS", "EMSL"),
    ("Proteomics", "QExactive Plus", "EMSL"),
    ("Lipidomics", "21T FT-ICR MS", "EMSL"),
)
"""Kind, instrument and institution of the omics processing of each biosample."""
_METAGENOME, _METATRANSCRIPTOME, _METABOLOME, _ORGANIC_MATTER, _PROTEOME, _LIPIDOME = range(SAMPLES)
_MASS_SPECTROMETRY = (_METABOLOME, _ORGANIC_MATTER, _PROTEOME, _LIPIDOME)
# The file type of each data object, by its number.
_FILES = (
    "Metagenome Raw Reads",
    "Metagenome Raw Reads",
    "GC-MS Metabolomics Results",
    "FT ICR-MS Analysis Results",
    "Unfiltered Metaproteomics Results",
    "Direct Infusion FT ICR-MS Raw Data",
    "Filtered Sequencing Reads",
    "Assembly Contigs",
    "Functional Annotation GFF",
    "Metagenome HQMQ Bins Compression File",
    "Kraken2 Classification Report",
)
_CALIBRATION_FILE = len(_FILES)

Document = dict[str, Any]


def _id(typecode: str, number: int = 0) -> str:
    return identifier(typecode, number, _SEED)


def _run(typecode: str, number: int = 0) -> str:
    return _id(typecode, number) + ".1"


def _person(name: str) -> Document:
    return {"has_raw_value": name, "name": name, "orcid": "orcid:0000-0002-1825-0097"}


def _term(identifier: str, name: str) -> Document:
    return {"has_raw_value": f"{name} [{identifier}]", "term": {"id": identifier, "name": name}}


def _mass(grams: float) -> Document:
    return {"has_raw_value": f"{grams} g", "has_numeric_value": grams, "has_unit": "g"}


def _studies() -> Iterator[Document]:
    yield {
        "id": _id("sty"),
        "name": "A study from before Berkeley",
        "title": "Soils before the Berkeley schema",
        "description": "A synthetic study.",
        "study_category": "research_study",
        "principal_investigator": _person("Ada Abara"),
        "has_credit_associations": [
            {"applies_to_person": _person("Bela Brandt"), "applied_roles": ["Conceptualization", "Methodology"]}
        ],
        "associated_dois": [
            {"doi_value": "doi:10.1000/before-berkeley", "doi_category": "award_doi", "doi_provider": "jgi"}
        ],
        "relevant_protocols": ["https://example.org/protocols/one", "https://example.org/protocols/two"],
    }
    yield {"id": _id("sty", 1), "name": "Its consortium", "study_category": "consortium"}


def _biosamples() -> Iterator[Document]:
    for number in range(SAMPLES):
        yield {
            "id": _id("bsm", number),
            "name": f"Sample {number}",
            "part_of": [_id("sty")],
            "env_broad_scale": _term("ENVO:00000446", "terrestrial biome"),
            "env_local_scale": _term("ENVO:00000109", "woodland"),
            "env_medium": _term("ENVO:00001998", "soil"),
            "depth": {
                "has_raw_value": "0 - 0.1 m",
                "has_minimum_numeric_value": 0,
                "has_maximum_numeric_value": 0.1,
                "has_unit": "m",
            },
            "geo_loc_name": {"has_raw_value": "USA: Colorado"},
            "lat_lon": {"has_raw_value": "38.9 -107.0", "latitude": 38.9, "longitude": -107.0},
            "collection_date": {"has_raw_value": "2017-09-12"},
            "add_date": "2021-03-31",
            "mod_date": "31-MAR-21 09.18.50.470000000 AM",
            "ecosystem": "Environmental",
        }


def _sites() -> Iterator[Document]:
    yield {"id": _id("frsite"), "name": "East River", "description": "A watershed."}


def _visits() -> Iterator[Document]:
    yield {
        "id": _id("clsite"),
        "has_input": [_id("frsite")],
        "has_output": [_id("bsm", number) for number in range(SAMPLES)],
        "start_date": "2017-09-12",
    }


def _extractions() -> Iterator[Document]:
    for number in range(2):
        yield {
            "id": _id("extrp", number),
            "designated_class": "nmdc:Extraction",
            "has_input": [_id("bsm", number)],
            "has_output": [_id("procsm", number)],
            "extraction_target": "DNA" if number == 0 else "RNA",
            "input_mass": _mass(0.25),
            "protocol_link": {"name": "An extraction", "url": "https://example.org/extraction"},
        }


def _poolings() -> Iterator[Document]:
    yield {
        "id": _id("poolp"),
        "designated_class": "nmdc:Pooling",
        "has_input": [_id("procsm", 0), _id("procsm", 1)],
        "has_output": [_id("procsm", 2)],
    }


def _library_preparations() -> Iterator[Document]:
    yield {
        "id": _id("libprp"),
        "designated_class": "nmdc:LibraryPreparation",
        "has_input": [_id("procsm", 2)],
        "has_output": [_id("procsm", 3)],
        "protocol_link": {"name": "A library"},
    }


def _processed_samples() -> Iterator[Document]:
    for number in range(4):
        yield {"id": _id("procsm", number), "name": f"Processed sample {number}"}


def _omics_processings() -> Iterator[Document]:
    for number, (kind, instrument, institution) in enumerate(_KINDS):
        document: Document = {
            "id": _id("omprc", number),
            "designated_class": "nmdc:OmicsProcessing",
            "name": f"{kind} of sample {number}",
            "omics_type": {"has_raw_value": kind},
            "instrument_name": instrument,
            "processing_institution": institution,
            "part_of": [_id("sty")],
            "has_input": [_id("procsm", 3) if number == _METAGENOME else _id("bsm", number)],
            "has_output": [_id("dobj", number)],
            "add_date": "2021-03-31",
        }
        if number in _MASS_SPECTROMETRY:
            # Empty, as the part of the migrator that removes it expects.
            document["gold_sequencing_project_identifiers"] = []
        else:
            document["ncbi_project_name"] = "Sequencing before Berkeley"
            document["principal_investigator"] = _person("Chidi Castelo")
        yield document


def _data_objects() -> Iterator[Document]:
    for number, kind in enumerate((*_FILES, "GC-MS Metabolomics Results")):
        yield {
            "id": _id("dobj", number),
            "name": f"file-{number}",
            "description": f"{kind} {number}",
            "data_object_type": kind,
            "file_size_bytes": 1_000 + number,
            "url": f"https://example.org/data/{number}",
        }


def _workflow(typecode: str, informed_by: int, inputs: list[int], outputs: list[int], resource: str) -> Document:
    return {
        "id": _run(typecode, informed_by),
        "name": f"{typecode} of sample {informed_by}",
        "was_informed_by": _id("omprc", informed_by),
        "has_input": [_id("dobj", number) for number in inputs],
        "has_output": [_id("dobj", number) for number in outputs],
        "execution_resource": resource,
        "git_url": "https://github.com/microbiomedata/metaG",
        "version": "v1.0.0",
        "started_at_time": "2021-10-11T02:28:26Z",
        "ended_at_time": "2021-10-11T04:56:04Z",
        # Schema 10.2.0 requires it and does not describe it.
        "type": "nmdc:WorkflowExecutionActivity",
    }


def _read_qualities() -> Iterator[Document]:
    yield {
        **_workflow("wfrqc", _METAGENOME, [_METAGENOME], [6], "NERSC - Cori"),
        "input_read_count": 100,
        "output_read_count": 90,
        "has_failure_categorization": [
            {"qc_failure_where": "OmicsProcessing", "qc_failure_what": "low_read_count"},
            {"qc_failure_where": "ReadQcAnalysisActivity", "qc_failure_what": "other"},
        ],
        "part_of": [_id("omprc", _METAGENOME)],
    }


def _taxonomies() -> Iterator[Document]:
    yield _workflow("wfrbt", _METAGENOME, [6], [10], "NERSC-Perlmutter")


def _assemblies() -> Iterator[Document]:
    yield {**_workflow("wfmgas", _METAGENOME, [6], [7], "JGI"), "contigs": 12}


def _annotations() -> Iterator[Document]:
    yield _workflow("wfmgan", _METAGENOME, [7], [8], "NERSC-Cori")


def _bins() -> Iterator[Document]:
    yield {
        **_workflow("wfmag", _METAGENOME, [7, 8], [9], "NERSC-Cori"),
        "mags_list": [{"bin_name": "bins.1", "number_of_contig": 3, "completeness": 98.1}],
        "part_of": [_id("omprc", _METAGENOME)],
    }


def _metabolomes() -> Iterator[Document]:
    yield {
        **_workflow("wfmb", _METABOLOME, [_CALIBRATION_FILE], [_METABOLOME], "EMSL-RZR"),
        "used": "GC MS",
        "has_calibration": _id("dobj", _CALIBRATION_FILE),
        "has_metabolite_quantifications": [
            {"metabolite_quantified": "chebi:17234", "highest_similarity_score": 0.97},
            {"metabolite_quantified": "chebi:4208", "highest_similarity_score": 0.91},
        ],
    }


def _proteomes() -> Iterator[Document]:
    yield {
        **_workflow("wfmp", _PROTEOME, [_PROTEOME], [4], "EMSL"),
        "has_peptide_quantifications": [{"peptide_sequence": "VILR", "peptide_spectral_count": 2}],
    }


def _organic_matters() -> Iterator[Document]:
    yield {
        **_workflow("wfnom", _ORGANIC_MATTER, [5], [_ORGANIC_MATTER], "EMSL"),
        # These ids have a version only since 10.4.0.
        "id": _id("wfnom", _ORGANIC_MATTER),
        "has_calibration": "false",
    }


def _aggregates() -> Iterator[Document]:
    for number in range(12):
        yield {
            "metagenome_annotation_id": _run("wfmgan", _METAGENOME),
            "gene_function_id": f"KEGG.ORTHOLOGY:K{number:05d}",
            "count": number + 1,
        }


def _nothing() -> Iterator[Document]:
    yield from ()


_COLLECTIONS: dict[str, Callable[[], Iterator[Document]]] = {
    "study_set": _studies,
    "biosample_set": _biosamples,
    "field_research_site_set": _sites,
    "collecting_biosamples_from_site_set": _visits,
    "extraction_set": _extractions,
    "pooling_set": _poolings,
    "library_preparation_set": _library_preparations,
    "processed_sample_set": _processed_samples,
    "omics_processing_set": _omics_processings,
    "data_object_set": _data_objects,
    "read_qc_analysis_activity_set": _read_qualities,
    "read_based_taxonomy_analysis_activity_set": _taxonomies,
    "metagenome_assembly_set": _assemblies,
    "metagenome_annotation_activity_set": _annotations,
    "mags_activity_set": _bins,
    "metabolomics_analysis_activity_set": _metabolomes,
    "metaproteomics_analysis_activity_set": _proteomes,
    "nom_analysis_activity_set": _organic_matters,
    "functional_annotation_agg": _aggregates,
    "metagenome_sequencing_activity_set": _nothing,
    "metatranscriptome_activity_set": _nothing,
    "activity_set": _nothing,
    "planned_process_set": _nothing,
}


def _calibrations() -> Iterator[Document]:
    yield {
        "id": _id("calib"),
        "type": "nmdc:CalibrationInformation",
        "name": "A calibration",
        "calibration_object": _id("dobj", _CALIBRATION_FILE),
        "internal_calibration": False,
        "calibration_target": "retention_index",
        "calibration_standard": "fames",
    }


def _configurations() -> Iterator[Document]:
    yield {
        "id": _id("mscon"),
        "type": "nmdc:MassSpectrometryConfiguration",
        "name": "A configuration",
        "description": "How the mass spectrometers were set.",
        "mass_spectrometry_acquisition_strategy": "full_scan_only",
        "resolution_categories": ["high"],
        "mass_analyzers": ["ion_cyclotron_resonance"],
        "ionization_source": "electrospray_ionization",
        "mass_spectrum_collection_modes": ["full_profile"],
        "polarity_mode": "negative",
    }
    yield {
        "id": _id("chrcon"),
        "type": "nmdc:ChromatographyConfiguration",
        "name": "A column",
        "description": "What came before the mass spectrometer.",
        "chromatographic_category": "gas_chromatography",
        "stationary_phase": "C18",
    }


def _curated_omics_processings() -> Iterator[Document]:
    for number, document in enumerate(_omics_processings()):
        if number in _MASS_SPECTROMETRY:
            document["has_mass_spectrometry_configuration"] = _id("mscon")
            document["eluent_introduction_category"] = "direct_infusion_syringe"
        if number == _METABOLOME:
            document["has_chromatography_configuration"] = _id("chrcon")
            document["eluent_introduction_category"] = "gas_chromatography"
        yield document


_CURATED: dict[str, Callable[[], Iterator[Document]]] = {
    **_COLLECTIONS,
    "omics_processing_set": _curated_omics_processings,
    "calibration_set": _calibrations,
    "configuration_set": _configurations,
}

INDEXES: dict[str, list[pymongo.IndexModel]] = {
    name: [pymongo.IndexModel([("id", pymongo.ASCENDING)], unique=True)]
    for name in _COLLECTIONS
    if name != "functional_annotation_agg"
}
"""The indexes of the collections, except those on `_id`."""
INDEXES["omics_processing_set"] += [pymongo.IndexModel([("has_input", pymongo.ASCENDING)], name="inputs")]
INDEXES["functional_annotation_agg"] = [pymongo.IndexModel([("gene_function_id", pymongo.ASCENDING)])]


def collections(*, curated: bool = False) -> Iterator[tuple[str, Iterator[Document]]]:
    """Every collection with its documents, valid for schema 10.2.0.

    Args:
        curated: with what NMDC's curators added by hand between releases, since no migrator adds it: calibrations,
            which 11.1.0 looks up, and configurations of mass spectrometers, which 11.8.0 requires. Schema 10.2.0 does
            not know these.
    """
    for name, documents in (_CURATED if curated else _COLLECTIONS).items():
        prefix = object_id_prefix(name, _SEED)
        yield name, ({"_id": object_id(prefix, n), **one} for n, one in enumerate(documents()))


def fill(database: Database[Document], *, curated: bool = False) -> None:
    """Create the collections with their indexes and documents. Databases of that time had no ledger."""
    for name, documents in collections(curated=curated):
        database.create_collection(name)
        if name in INDEXES:
            database[name].create_indexes(INDEXES[name])
        batch = list(documents)
        if batch:
            database[name].insert_many(batch)
