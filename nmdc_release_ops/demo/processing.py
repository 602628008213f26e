"""Material processing, and the samples that come from it."""

from collections.abc import Callable, Iterator
from random import Random

from nmdc_release_ops.demo.blueprint import ORGANISMS, Blueprint
from nmdc_release_ops.demo.instruments import VORTEX
from nmdc_release_ops.demo.lineage import TYPECODES, Story, yields_organism_sample
from nmdc_release_ops.demo.values import Document, day, portion, provenance, quantity, taxon, text, timestamp

_INSTITUTIONS = ("EMSL", "JGI", "NMDC", "Battelle")
_TARGETS = {
    "metagenome": "DNA",
    "amplicon_sequencing_assay": "DNA",
    "isolate_genome": "DNA",
    "metatranscriptome": "RNA",
    "metabolome": "metabolite",
    "lipidome": "lipid",
    "metaproteome": "protein",
    "nom": "natural organic matter",
}


def _extraction(story: Story, dice: Random) -> Document:
    return {
        "extraction_targets": [_TARGETS[story.analyte]],
        "input_mass": quantity(round(0.1 + dice.random(), 3), "g"),
        "volume": quantity(round(1 + 4 * dice.random(), 1), "mL"),
        "substances_used": [
            portion("methanol", "solvent", quantity(2.0, "mL")),
            portion("water", "solvent", quantity(500.0, "uL")),
        ],
    }


def _library_preparation(story: Story, dice: Random) -> Document:
    rna = story.analyte == "metatranscriptome"
    library: Document = {
        "library_type": "RNA" if rna else "DNA",
        "library_preparation_kit": "Demo library kit",
        "lib_layout": "paired",
        "is_stranded": rna,
        "pcr_cycles": dice.randrange(4, 20),
        "nucl_acid_amp": text("https://example.org/protocols/amplification"),
    }
    if story.analyte == "amplicon_sequencing_assay":
        library |= {
            "library_strategy": "AMPLICON",
            "target_gene": "16S_rRNA",
            "target_subfragment": text("V4"),
            "pcr_primers": "FWD:GTGYCAGCMGCCGCGGTAA;REV:GGACTACNVGGGTWTCTAAT",
        }
    return library


def _sub_sampling(_: Story, dice: Random) -> Document:
    return {
        "mass": quantity(round(0.2 + 5 * dice.random(), 2), "g"),
        "container_size": quantity(50.0, "mL"),
        "contained_in": "falcon_tube",
        "temperature": quantity(-80.0, "Cel"),
    }


def _chemical_conversion(story: Story, dice: Random) -> Document:
    if story.analyte == "metaproteome":
        return {
            "chemical_conversion_category": "protease_cleavage",
            "duration": quantity(3.0, "h"),
            "temperature": quantity(37.0, "Cel"),
            "substances_used": [portion("trypsin", "ms_proteolytic_enzyme")],
        }
    return {
        "chemical_conversion_category": "substitution",
        "duration": quantity(float(dice.randrange(15, 120)), "min"),
        "substances_used": [
            portion("N-methyl-N-trimethylsilyltrifluoroacetamide", "derivatizing_agent", quantity(80.0, "uL"))
        ],
        "substances_volume": quantity(0.08, "mL"),
    }


def _filtration(_: Story, dice: Random) -> Document:
    return {
        "filter_material": "PES",
        "filter_pore_size": quantity(0.22, "um"),
        "separation_method": "syringe",
        "is_pressurized": False,
        "volume": quantity(float(dice.randrange(5, 50)), "mL"),
    }


def _dissolving(_: Story, dice: Random) -> Document:
    return {
        "duration": quantity(float(dice.randrange(5, 60)), "min"),
        "temperature": quantity(21.0, "Cel"),
        "substances_used": [portion("methanol", "solubilizing_agent", quantity(200.0, "uL"))],
    }


_DETAILS: dict[str, Callable[[Story, Random], Document]] = {
    "ChemicalConversionProcess": _chemical_conversion,
    "DissolvingProcess": _dissolving,
    "Extraction": _extraction,
    "FiltrationProcess": _filtration,
    "LibraryPreparation": _library_preparation,
    "SubSamplingProcess": _sub_sampling,
}


def sample_after(blueprint: Blueprint, number: int, story: Story, steps: int) -> str:
    """The id of the sample that a biosample has become after `steps` steps of its processing."""
    if steps == 0:
        return blueprint.biosample(number)
    if yields_organism_sample(story.processing[steps - 1]):
        return blueprint.organism_sample(number, steps - 1)
    return blueprint.processed_sample(number, steps - 1)


def material_processing(blueprint: Blueprint) -> Iterator[Document]:
    """The `material_processing_set`."""
    dice = blueprint.dice("material_processing_set")
    for number, story in blueprint.stories():
        for step, process in enumerate(story.processing):
            inputs = [sample_after(blueprint, number, story, step)]
            if process == "Pooling":
                inputs.append(blueprint.biosample(number - 1))
            document: Document = {
                "id": blueprint.id(TYPECODES[process], number * len(TYPECODES) + step),
                "type": f"nmdc:{process}",
                "name": f"{process} of S{number:06d}",
                "start_date": day(number + step),
                "end_date": day(number + step),
                "processing_institution": _INSTITUTIONS[number % len(_INSTITUTIONS)],
                "has_input": inputs,
                "has_output": [sample_after(blueprint, number, story, step + 1)],
            }
            if details := _DETAILS.get(process):
                document |= details(story, dice)
            if process == "DissolvingProcess":
                document["instrument_used"] = [blueprint.id("inst", VORTEX)]
            if number % 3 == 0:
                document["qc_status"] = "pass"
                document["protocol_link"] = {
                    "type": "nmdc:Protocol",
                    "name": f"{process} protocol",
                    "url": f"https://example.org/protocols/{process.lower()}",
                }
            yield document


def processed_samples(blueprint: Blueprint) -> Iterator[Document]:
    """The `processed_sample_set`."""
    dice = blueprint.dice("processed_sample_set")
    for number, story in blueprint.stories():
        for step, process in enumerate(story.processing):
            if yields_organism_sample(process):
                continue
            sample: Document = {
                "id": blueprint.processed_sample(number, step),
                "type": "nmdc:ProcessedSample",
                "name": f"S{number:06d} after {process}",
            }
            if process == "Extraction":
                sample["dna_concentration"] = round(dice.random() * 200, 2)
                sample["dna_absorb1"] = round(1.7 + dice.random() * 0.4, 2)
                sample["sampled_portion"] = ["supernatant"]
            elif process == "FiltrationProcess":
                sample["sampled_portion"] = ["aqueous_layer"]
            elif process == "LibraryPreparation" and number % 2:
                sample["external_database_identifiers"] = [f"jgi.sample:{dice.randrange(10**6)}"]
            yield sample
        if story.stored:
            yield {
                "id": blueprint.stored_sample(number),
                "type": "nmdc:ProcessedSample",
                "name": f"S{number:06d} in storage",
                "biomaterial_purity": quantity(round(90 + 10 * dice.random(), 1), "%"),
            }


def storage_processes(blueprint: Blueprint) -> Iterator[Document]:
    """The `storage_process_set`."""
    for number, story in blueprint.stories():
        if story.stored:
            yield {
                "id": blueprint.id("storpr", number),
                "type": "nmdc:StorageProcess",
                "name": f"Storage of S{number:06d}",
                "start_date": day(number),
                "end_date": day(number + 90),
                "has_input": [blueprint.biosample(number)],
                "has_output": [blueprint.stored_sample(number)],
                "contained_in": "falcon_tube",
                "temperature": quantity(-80.0, "Cel"),
                "substances_used": [portion("ethanol", "solvent", quantity(10.0, "mL"))],
            }


def organism_samples(blueprint: Blueprint) -> Iterator[Document]:
    """The `organism_sample_set`: isolates, and the cultures grown from them."""
    dice = blueprint.dice("organism_sample_set")
    for number, story in blueprint.stories():
        for step, process in enumerate(story.processing):
            if yields_organism_sample(process):
                yield {
                    "id": blueprint.organism_sample(number, step),
                    "type": "nmdc:OrganismSample",
                    "name": f"S{number:06d} after {process}",
                    "associated_studies": [blueprint.study_of(number)],
                    "expected_organism": blueprint.id("orgn", number % ORGANISMS),
                    "collection_date": timestamp(day(number)),
                    "gold_organism_identifiers": [f"gold:Go{dice.randrange(10**6)}"],
                    "host_taxid": taxon(38727, "Panicum virgatum"),
                    "source_mat_id": text(f"culture {number}-{step}"),
                    "ploidy": "haploid",
                    "analysis_type": ["isolate genome sequencing"],
                    "provenance_metadata": provenance(number, dice),
                }
