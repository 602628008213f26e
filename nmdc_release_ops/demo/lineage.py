"""What happens to a biosample: how it is processed, measured and analysed.

Biosamples take the stories of `STORIES` in turn. A story is data, so that the generators of samples, data
generations, workflow executions and data objects agree on what exists, and so that the documents can be counted
before any of them is generated.

`MixingProcess` and `ChromatographicSeparationProcess` are missing on purpose: in schema 11.23.0 the patterns of
their ids contain placeholders that were never filled in, so no real id of theirs passes LinkML's validator.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

TYPECODES = {
    "ChemicalConversionProcess": "chcpr",
    "Culturing": "cultp",
    "DissolvingProcess": "dispro",
    "Extraction": "extrp",
    "FiltrationProcess": "filtpr",
    "Isolation": "isnp",
    "LibraryPreparation": "libprp",
    "Pooling": "poolp",
    "SubSamplingProcess": "subspr",
    "MassSpectrometry": "dgms",
    "NucleotideSequencing": "dgns",
    "MagsAnalysis": "wfmag",
    "MetabolomicsAnalysis": "wfmb",
    "MetagenomeAnnotation": "wfmgan",
    "MetagenomeAssembly": "wfmgas",
    "MetaproteomicsAnalysis": "wfmp",
    "MetatranscriptomeAnnotation": "wfmtan",
    "MetatranscriptomeAssembly": "wfmtas",
    "MetatranscriptomeExpressionAnalysis": "wfmtex",
    "NomAnalysis": "wfnom",
    "ReadBasedTaxonomyAnalysis": "wfrbt",
    "ReadQcAnalysis": "wfrqc",
}

METAGENOME_ANNOTATION = frozenset({"MetagenomeAnnotation"})
ANNOTATING = METAGENOME_ANNOTATION | {"MetatranscriptomeAnnotation", "MetaproteomicsAnalysis"}
"""The descendants of AnnotatingWorkflow: the classes that may generate a FunctionalAnnotationAggMember."""


@dataclass(frozen=True)
class Run:
    """One workflow execution. `inputs` and `outputs` are file types (`FileTypeEnum`)."""

    workflow: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    version: int = 1
    superseded: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Output:
    """A data object of a story: its place in the story, its file type, and the run that made it (None: raw data)."""

    slot: int
    file_type: str
    run: Run | None


@dataclass(frozen=True)
class Story:
    """A biosample's way from the field to its data objects."""

    processing: tuple[str, ...] = ()
    generation: str = ""
    analyte: str = ""
    introduction: str = ""
    raw: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    stored: bool = False

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """Every data object of the story, raw data first."""
        made: list[tuple[str, Run | None]] = [(file_type, None) for file_type in self.raw]
        made += [(file_type, run) for run in self.runs for file_type in run.outputs]
        return tuple(Output(slot, file_type, run) for slot, (file_type, run) in enumerate(made))

    @cached_property
    def documents(self) -> int:
        """Number of documents in the story, including the biosample."""
        samples = 1 + len(self.processing) + 2 * self.stored
        generations = bool(self.generation)
        return samples + len(self.processing) + generations + len(self.runs) + len(self.outputs)

    def slots(self, file_types: tuple[str, ...]) -> Iterator[int]:
        """The places of the newest data objects of these file types."""
        newest = {output.file_type: output.slot for output in self.outputs}
        return (newest[file_type] for file_type in file_types)


def yields_organism_sample(process: str) -> bool:
    """Whether a material processing class has OrganismSample as the range of its `has_output`."""
    return process in ("Isolation", "Culturing")


_READS = ("Metagenome Raw Read 1", "Metagenome Raw Read 2")
_RNA_READS = ("Metatranscriptome Raw Read 1", "Metatranscriptome Raw Read 2")
_BINS = ("Metagenome HQMQ Bins Compression File", "CheckM Statistics", "GTDBTK Bacterial Summary")
_BINNING = ("Assembly Contigs", "Assembly Coverage BAM", "Functional Annotation GFF")

_METAGENOME_RUNS = (
    Run("ReadQcAnalysis", _READS, ("Filtered Sequencing Reads", "QC Statistics")),
    Run(
        "ReadBasedTaxonomyAnalysis",
        ("Filtered Sequencing Reads",),
        ("GOTTCHA2 Classification Report", "Kraken2 Classification Report", "Centrifuge output report file"),
    ),
    Run(
        "MetagenomeAssembly",
        ("Filtered Sequencing Reads",),
        ("Assembly Contigs", "Assembly Scaffolds", "Assembly Coverage BAM"),
    ),
    Run(
        "MetagenomeAnnotation",
        ("Assembly Contigs",),
        (
            "Annotation Amino Acid FASTA",
            "Structural Annotation GFF",
            "Functional Annotation GFF",
            "Annotation KEGG Orthology",
        ),
    ),
)

METAGENOME = Story(
    processing=("SubSamplingProcess", "Extraction", "LibraryPreparation"),
    generation="NucleotideSequencing",
    analyte="metagenome",
    raw=_READS,
    runs=(*_METAGENOME_RUNS, Run("MagsAnalysis", _BINNING, _BINS)),
)
RERUN_METAGENOME = Story(
    processing=METAGENOME.processing,
    generation="NucleotideSequencing",
    analyte="metagenome",
    raw=_READS,
    runs=(
        *_METAGENOME_RUNS,
        Run("MagsAnalysis", _BINNING, _BINS, version=1, superseded=True),
        Run("MagsAnalysis", _BINNING, _BINS, version=2),
    ),
)
FAILED_METAGENOME = Story(
    processing=METAGENOME.processing,
    generation="NucleotideSequencing",
    analyte="metagenome",
    raw=_READS,
    runs=(Run("ReadQcAnalysis", _READS, (), failed=True),),
)
METATRANSCRIPTOME = Story(
    processing=("Extraction", "LibraryPreparation"),
    generation="NucleotideSequencing",
    analyte="metatranscriptome",
    raw=_RNA_READS,
    runs=(
        Run("ReadQcAnalysis", _RNA_READS, ("rRNA Filtered Sequencing Reads", "QC Statistics")),
        Run(
            "MetatranscriptomeAssembly",
            ("rRNA Filtered Sequencing Reads",),
            ("Assembly Contigs", "Assembly Coverage BAM"),
        ),
        Run(
            "MetatranscriptomeAnnotation",
            ("Assembly Contigs",),
            ("Annotation Amino Acid FASTA", "Functional Annotation GFF", "Annotation KEGG Orthology"),
        ),
        Run(
            "MetatranscriptomeExpressionAnalysis",
            ("Assembly Coverage BAM", "Functional Annotation GFF"),
            ("Metatranscriptome Expression", "Metatranscriptome Expression Info File"),
        ),
    ),
)
AMPLICON = Story(
    processing=("Pooling", "Extraction", "LibraryPreparation"),
    generation="NucleotideSequencing",
    analyte="amplicon_sequencing_assay",
    raw=("Raw sequencing data read 1", "Raw sequencing data read 2"),
)
ISOLATE = Story(
    processing=("Isolation", "Culturing", "Extraction", "LibraryPreparation"),
    generation="NucleotideSequencing",
    analyte="isolate_genome",
    raw=("Unpaired raw sequencing data",),
)
NATURAL_ORGANIC_MATTER = Story(
    processing=("FiltrationProcess", "Extraction", "DissolvingProcess"),
    generation="MassSpectrometry",
    analyte="nom",
    introduction="direct_infusion_autosampler",
    raw=("Direct Infusion FT ICR-MS Raw Data",),
    runs=(
        Run(
            "NomAnalysis",
            ("Direct Infusion FT ICR-MS Raw Data",),
            ("Direct Infusion FT-ICR MS Analysis Results", "Direct Infusion FT-ICR MS QC Plots"),
        ),
    ),
)
METABOLOME = Story(
    processing=("Extraction", "ChemicalConversionProcess"),
    generation="MassSpectrometry",
    analyte="metabolome",
    introduction="gas_chromatography",
    raw=("GC-MS Raw Data",),
    runs=(Run("MetabolomicsAnalysis", ("GC-MS Raw Data",), ("GC-MS Metabolomics Results",)),),
)
LIPIDOME = Story(
    processing=("Extraction", "DissolvingProcess"),
    generation="MassSpectrometry",
    analyte="lipidome",
    introduction="liquid_chromatography",
    raw=("LC-DDA-MS/MS Raw Data",),
    runs=(
        Run(
            "MetabolomicsAnalysis",
            ("LC-DDA-MS/MS Raw Data",),
            ("LC-MS Lipidomics Results", "LC-MS Lipidomics Processed Data", "Configuration toml"),
        ),
    ),
)
METAPROTEOME = Story(
    processing=("SubSamplingProcess", "Extraction", "ChemicalConversionProcess"),
    generation="MassSpectrometry",
    analyte="metaproteome",
    introduction="liquid_chromatography",
    raw=("LC-DDA-MS/MS Raw Data",),
    runs=(
        Run(
            "MetaproteomicsAnalysis",
            ("LC-DDA-MS/MS Raw Data",),
            ("Peptide Report", "Protein Report", "Metaproteomics Workflow Statistics"),
        ),
    ),
)
STORED = Story(stored=True)

STORIES = (
    METAGENOME,
    NATURAL_ORGANIC_MATTER,
    METATRANSCRIPTOME,
    METAGENOME,
    METABOLOME,
    STORED,
    METAGENOME,
    LIPIDOME,
    METAPROTEOME,
    RERUN_METAGENOME,
    ISOLATE,
    FAILED_METAGENOME,
    METAGENOME,
    AMPLICON,
    NATURAL_ORGANIC_MATTER,
    METAGENOME,
)


def story_of(biosample: int) -> Story:
    """The story of biosample number `biosample`."""
    return STORIES[biosample % len(STORIES)]


def documents_of(biosamples: int) -> int:
    """Number of documents in the stories of the first `biosamples` biosamples."""
    rounds, rest = divmod(biosamples, len(STORIES))
    return rounds * sum(story.documents for story in STORIES) + sum(story.documents for story in STORIES[:rest])


def annotations_of(biosamples: int, workflows: frozenset[str] = ANNOTATING) -> int:
    """Number of workflow executions of the first `biosamples` biosamples that annotate genes."""
    per_story = [sum(run.workflow in workflows for run in story.runs) for story in STORIES]
    rounds, rest = divmod(biosamples, len(STORIES))
    return rounds * sum(per_story) + sum(per_story[:rest])
