"""Workflow executions with their metrics, and the data objects that they read and write."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from nmdc_release_ops.demo.blueprint import Blueprint
from nmdc_release_ops.demo.generations import generation_of
from nmdc_release_ops.demo.lineage import TYPECODES, Output, Run, Story
from nmdc_release_ops.demo.values import Document, instant, quantity

_WORKFLOWS = tuple(TYPECODES)
_LINEAGES = (
    ("Bacteria", "Pseudomonadota", "Gammaproteobacteria", "Burkholderiales", "Nitrosomonadaceae"),
    ("Bacteria", "Acidobacteriota", "Terriglobia", "Terriglobales", "Acidobacteriaceae"),
    ("Bacteria", "Actinomycetota", "Actinomycetes", "Streptomycetales", "Streptomycetaceae"),
    ("Archaea", "Thermoproteota", "Nitrososphaeria", "Nitrososphaerales", "Nitrososphaeraceae"),
)
_COMPOUNDS = ("chebi:15903", "chebi:16810", "chebi:17234", "chebi:30769", "chebi:16828")


@dataclass(frozen=True)
class FileKind:
    """The name of a data object of a file type, and its usual size in bytes."""

    suffix: str
    size: int
    category: str = "processed_data"


_RAW_READS = FileKind("fastq.gz", 9_000_000_000, "instrument_data")
_SPECTRA = FileKind("raw", 600_000_000, "instrument_data")
_TABLE = FileKind("tsv", 400_000)

_FILES = {
    "Metagenome Raw Read 1": _RAW_READS,
    "Metagenome Raw Read 2": _RAW_READS,
    "Metatranscriptome Raw Read 1": _RAW_READS,
    "Metatranscriptome Raw Read 2": _RAW_READS,
    "Raw sequencing data read 1": _RAW_READS,
    "Raw sequencing data read 2": _RAW_READS,
    "Unpaired raw sequencing data": _RAW_READS,
    "Direct Infusion FT ICR-MS Raw Data": _SPECTRA,
    "GC-MS Raw Data": _SPECTRA,
    "LC-DDA-MS/MS Raw Data": _SPECTRA,
    "Filtered Sequencing Reads": FileKind("fastq.gz", 7_000_000_000),
    "rRNA Filtered Sequencing Reads": FileKind("fastq.gz", 3_000_000_000),
    "Assembly Contigs": FileKind("fna", 300_000_000),
    "Assembly Scaffolds": FileKind("fna", 300_000_000),
    "Assembly Coverage BAM": FileKind("bam", 8_000_000_000),
    "Annotation Amino Acid FASTA": FileKind("faa", 150_000_000),
    "Structural Annotation GFF": FileKind("gff", 90_000_000),
    "Functional Annotation GFF": FileKind("gff", 120_000_000),
    "Metagenome HQMQ Bins Compression File": FileKind("zip", 20_000_000),
    "Direct Infusion FT-ICR MS QC Plots": FileKind("png", 300_000),
    "Configuration toml": FileKind("toml", 4_000, "workflow_parameter_data"),
}


def _read_qc(_: int, dice: Random) -> Document:
    reads = dice.randrange(10**7, 10**8)
    kept = int(reads * 0.9)
    return {
        "input_read_count": reads,
        "input_base_count": reads * 151,
        "output_read_count": kept,
        "output_base_count": kept * 149,
    }


def _assembly(number: int, dice: Random) -> Document:
    contigs = dice.randrange(10**4, 10**6)
    return {
        "contigs": contigs,
        "contig_bp": contigs * 640,
        "scaffolds": contigs - 40,
        "scaf_bp": contigs * 641,
        "ctg_n50": contigs // 5,
        "ctg_l50": 620,
        "ctg_max": 250_000 + number % 1000,
        "ctg_logsum": round(dice.random() * 10**6, 3),
        "gc_avg": round(0.3 + dice.random() * 0.4, 5),
        "gc_std": round(dice.random() * 0.1, 5),
        "gap_pct": 0.0,
        "asm_score": round(dice.random() * 60, 3),
        "num_input_reads": contigs * 90,
        "num_aligned_reads": contigs * 70,
    }


def _bin(name: str, dice: Random) -> Document:
    completeness = round(20 + 80 * dice.random(), 2)
    contamination = round(12 * dice.random() ** 2, 2)
    quality = "HQ" if completeness > 90 and contamination < 5 else "MQ" if completeness >= 50 else "LQ"
    magbin: Document = {
        "type": "nmdc:MagBin",
        "bin_name": name,
        "bin_quality": quality,
        "completeness": completeness,
        "contamination": contamination,
        "number_of_contig": dice.randrange(20, 900),
        "gene_count": dice.randrange(400, 6000),
        "total_bases": dice.randrange(10**6, 10**7),
        "num_16s": dice.randrange(2),
        "num_23s": dice.randrange(2),
        "num_5s": dice.randrange(3),
        "num_t_rna": dice.randrange(60),
        "members_id": [f"{name}_{contig}" for contig in range(3)],
    }
    if quality != "LQ":
        ranks = ("domain", "phylum", "class", "order", "family")
        lineage = _LINEAGES[dice.randrange(len(_LINEAGES))]
        magbin |= {f"gtdbtk_{rank}": taxon for rank, taxon in zip(ranks, lineage, strict=True)}
    elif dice.random() < 0.2:
        magbin["eukaryotic_evaluation"] = {
            "type": "nmdc:EukEval",
            "completeness": completeness,
            "contamination": contamination,
            "ncbi_lineage": "Eukaryota;Opisthokonta;Fungi",
            "ncbi_lineage_tax_ids": "2759-33154-4751",
        }
    return magbin


def _mags(number: int, dice: Random) -> Document:
    contigs = dice.randrange(10**4, 10**6)
    binned = contigs // 300
    return {
        "input_contig_num": contigs,
        "too_short_contig_num": contigs * 9 // 10,
        "low_depth_contig_num": 0,
        "unbinned_contig_num": contigs - contigs * 9 // 10 - binned,
        "binned_contig_num": binned,
        "mags_list": [_bin(f"bins.{place}", dice) for place in range(1, 2 + number % 7)],
    }


def _annotation(number: int, dice: Random) -> Document:
    return {"gold_analysis_project_identifiers": [f"gold:Ga{dice.randrange(10**6, 10**7)}"]} if number % 2 else {}


def _metabolomics(number: int, dice: Random) -> Document:
    return {
        "peak_count": dice.randrange(400, 4000),
        "peak_assignment_count": dice.randrange(20, 300),
        "has_metabolite_identifications": [
            {
                "type": "nmdc:MetaboliteIdentification",
                "metabolite_identified": compound,
                "highest_similarity_score": round(0.6 + 0.4 * dice.random(), 4),
            }
            for compound in _COMPOUNDS[: 1 + number % len(_COMPOUNDS)]
        ],
    }


def _nom(_: int, dice: Random) -> Document:
    return {"peak_count": dice.randrange(2000, 20_000), "peak_assignment_count": dice.randrange(200, 2000)}


def _metaproteomics(_: int, dice: Random) -> Document:
    return {
        "metaproteomics_analysis_category": "in_silico_metagenome",
        "total_protein_count": dice.randrange(2000, 20_000),
        "razor_protein_count": dice.randrange(200, 2000),
        "unique_peptide_seq_count": dice.randrange(2000, 30_000),
        "peptide_to_spectrum_match_count": dice.randrange(3000, 40_000),
        "peptide_to_spectrum_match_rate": quantity(round(5 + 40 * dice.random(), 2), "%"),
        "mean_peptide_count": round(1 + 9 * dice.random(), 2),
    }


_METRICS: dict[str, Callable[[int, Random], Document]] = {
    "MagsAnalysis": _mags,
    "MetabolomicsAnalysis": _metabolomics,
    "MetagenomeAnnotation": _annotation,
    "MetagenomeAssembly": _assembly,
    "MetaproteomicsAnalysis": _metaproteomics,
    "MetatranscriptomeAnnotation": _annotation,
    "MetatranscriptomeAssembly": _assembly,
    "NomAnalysis": _nom,
    "ReadQcAnalysis": _read_qc,
}


def execution_of(blueprint: Blueprint, number: int, run: Run, version: int | None = None) -> str:
    """The id of a workflow execution. A workflow that was run again keeps its id, except for the version at the end."""
    index = number * len(_WORKFLOWS) + _WORKFLOWS.index(run.workflow)
    return f"{blueprint.id(TYPECODES[run.workflow], index)}.{run.version if version is None else version}"


def _execution(blueprint: Blueprint, number: int, story: Story, run: Run, dice: Random) -> Document:
    minutes = 11 * number * 60
    document: Document = {
        "id": execution_of(blueprint, number, run),
        "type": f"nmdc:{run.workflow}",
        "name": f"{run.workflow} of S{number:06d}",
        "version": f"v1.{number % 5}.{run.version}",
        "git_url": f"https://github.com/microbiomedata/{run.workflow}",
        "processing_institution": "NMDC" if story.generation == "NucleotideSequencing" else "EMSL",
        "execution_resource": "NERSC-Perlmutter" if story.generation == "NucleotideSequencing" else "EMSL-RZR",
        "started_at_time": instant(minutes),
        "ended_at_time": instant(minutes + dice.randrange(10, 600)),
        "was_informed_by": [generation_of(blueprint, number, story)],
        "has_input": [blueprint.data_object(number, slot) for slot in story.slots(run.inputs)],
    }
    if run.failed:
        document["qc_status"] = "fail"
        document["qc_comment"] = "Too few reads were left to assemble."
        document["has_failure_categorization"] = [
            {
                "type": "nmdc:FailureCategorization",
                "qc_failure_what": "low_read_count",
                "qc_failure_where": "NucleotideSequencing",
            }
        ]
    else:
        document["has_output"] = [
            blueprint.data_object(number, output.slot) for output in story.outputs if output.run is run
        ]
        if number % 3:
            document["qc_status"] = "pass"
    if metrics := _METRICS.get(run.workflow):
        document |= metrics(number, dice)
    if run.workflow == "MetabolomicsAnalysis":
        gas = story.introduction == "gas_chromatography"
        document["metabolomics_analysis_category"] = "gc_ms_metabolomics" if gas else "lc_ms_lipidomics"
        if gas:
            document["uses_calibration"] = [blueprint.calibration(number, gas=True)]
    elif run.workflow == "NomAnalysis":
        document["uses_calibration"] = [blueprint.calibration(number, gas=False)]
    if run.superseded:
        document["superseded_by"] = execution_of(blueprint, number, run, run.version + 1)
    return document


def workflow_executions(blueprint: Blueprint) -> Iterator[Document]:
    """The `workflow_execution_set`."""
    dice = blueprint.dice("workflow_execution_set")
    for number, story in blueprint.stories():
        for run in story.runs:
            yield _execution(blueprint, number, story, run, dice)


def _data_object(blueprint: Blueprint, number: int, story: Story, output: Output, dice: Random) -> Document:
    kind = _FILES.get(output.file_type, _TABLE)
    run = output.run
    source = generation_of(blueprint, number, story) if run is None else execution_of(blueprint, number, run)
    name = f"{source.removeprefix('nmdc:')}_{output.slot}.{kind.suffix}"
    document: Document = {
        "id": blueprint.data_object(number, output.slot),
        "type": "nmdc:DataObject",
        "name": name,
        "description": f"{output.file_type} for {source}",
        "data_object_type": output.file_type,
        "data_category": kind.category,
        "file_size_bytes": int(kind.size * (0.5 + dice.random())),
        "md5_checksum": f"{dice.getrandbits(128):032x}",
        "url": f"https://data.example.org/{source}/{name}",
        "was_generated_by": source,
    }
    if kind.suffix.endswith(".gz"):
        document["compression_type"] = "gzip"
    if kind is _RAW_READS and number % 3 == 0:
        document["insdc_run_identifiers"] = [f"insdc.run:SRR{dice.randrange(10**6, 10**7)}"]
    if run is not None and run.superseded:
        document["superseded_by"] = execution_of(blueprint, number, run, run.version + 1)
    return document


def data_objects(blueprint: Blueprint) -> Iterator[Document]:
    """The `data_object_set`: the files of calibrations, then those of data generations and workflow executions."""
    dice = blueprint.dice("data_object_set")
    for index in range(blueprint.calibrations):
        yield {
            "id": blueprint.calibration_file(index),
            "type": "nmdc:DataObject",
            "name": f"calibration_{index}.txt",
            "description": f"Reference of calibration {index}",
            "data_object_type": "Reference Calibration File",
            "data_category": "processed_data",
            "file_size_bytes": dice.randrange(2000, 90_000),
            "md5_checksum": f"{dice.getrandbits(128):032x}",
        }
    for number, story in blueprint.stories():
        for output in story.outputs:
            yield _data_object(blueprint, number, story, output, dice)
