"""Data generations: the sequencing and mass spectrometry of samples."""

from collections.abc import Iterator
from random import Random

from nmdc_release_ops.demo.blueprint import Blueprint
from nmdc_release_ops.demo.instruments import (
    FT_ICR,
    FT_ICR_CONFIGURATION,
    GAS_CHROMATOGRAPH,
    GAS_COLUMN,
    GAS_CONFIGURATION,
    HILIC,
    ORBITRAP_CONFIGURATION,
    ORBITRAPS,
    REVERSED_PHASE,
    SEQUENCERS,
)
from nmdc_release_ops.demo.lineage import TYPECODES, Story
from nmdc_release_ops.demo.processing import sample_after
from nmdc_release_ops.demo.values import Document, day, person, provenance


def generation_of(blueprint: Blueprint, number: int, story: Story) -> str:
    """The id of the data generation of a biosample."""
    return blueprint.id(TYPECODES[story.generation], number)


def _sequencing(blueprint: Blueprint, number: int, dice: Random) -> Document:
    sequencing: Document = {
        "instrument_used": [blueprint.id("inst", SEQUENCERS[number % len(SEQUENCERS)])],
        "ncbi_project_name": f"Demo sequencing project {number}",
    }
    if number % 2 == 0:
        sequencing["gold_sequencing_project_identifiers"] = [f"gold:Gp{dice.randrange(10**6, 10**7)}"]
    if number % 3 == 0:
        sequencing["insdc_bioproject_identifiers"] = [f"bioproject:PRJNA{dice.randrange(10**5, 10**6)}"]
        sequencing["insdc_experiment_identifiers"] = [f"insdc.sra:SRX{dice.randrange(10**6, 10**7)}"]
    return sequencing


def _mass_spectrometry(blueprint: Blueprint, number: int, story: Story) -> Document:
    document: Document = {"eluent_introduction_category": story.introduction}
    if story.introduction == "gas_chromatography":
        instrument, configuration = GAS_CHROMATOGRAPH, GAS_CONFIGURATION
        # The schema's rules require both for a gas chromatograph.
        document["has_chromatography_configuration"] = blueprint.id("chrcon", GAS_COLUMN)
        document["generates_calibration"] = blueprint.calibration(number, gas=True)
    elif story.introduction == "liquid_chromatography":
        instrument, configuration = ORBITRAPS[number % len(ORBITRAPS)], ORBITRAP_CONFIGURATION
        column = HILIC if story.analyte == "lipidome" else REVERSED_PHASE
        document["has_chromatography_configuration"] = blueprint.id("chrcon", column)
    else:
        instrument, configuration = FT_ICR[number % len(FT_ICR)], FT_ICR_CONFIGURATION
    document["instrument_used"] = [blueprint.id("inst", instrument)]
    document["has_mass_spectrometry_configuration"] = blueprint.id("mscon", configuration)
    return document


def data_generations(blueprint: Blueprint) -> Iterator[Document]:
    """The `data_generation_set`. Two of three have a principal investigator, which release 11.24.0 moves."""
    dice = blueprint.dice("data_generation_set")
    for number, story in blueprint.stories():
        if not story.generation:
            continue
        document: Document = {
            "id": generation_of(blueprint, number, story),
            "type": f"nmdc:{story.generation}",
            "name": f"{story.analyte} of S{number:06d}",
            "analyte_category": story.analyte,
            "associated_studies": [blueprint.study_of(number)],
            "processing_institution": "JGI" if story.generation == "NucleotideSequencing" else "EMSL",
            "start_date": day(number + 30),
            "end_date": day(number + 31),
            "has_input": [sample_after(blueprint, number, story, len(story.processing))],
            "has_output": [blueprint.data_object(number, slot) for slot in range(len(story.raw))],
        }
        if story.generation == "NucleotideSequencing":
            document |= _sequencing(blueprint, number, dice)
        else:
            document |= _mass_spectrometry(blueprint, number, story)
        if number % 3:
            document["principal_investigator"] = person(5 * number)
        if number % 4 == 0:
            document["provenance_metadata"] = provenance(number, dice)
        yield document
