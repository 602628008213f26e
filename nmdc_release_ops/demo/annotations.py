"""Gene annotations, and the counts of gene functions that make up most of a large NMDC database."""

from collections.abc import Iterator
from functools import cache
from random import Random

from bson import ObjectId

from nmdc_release_ops.demo.blueprint import Blueprint
from nmdc_release_ops.demo.identifiers import object_id_prefix
from nmdc_release_ops.demo.lineage import ANNOTATING, METAGENOME_ANNOTATION, STORIES
from nmdc_release_ops.demo.values import Document, identified_term
from nmdc_release_ops.demo.workflows import execution_of


@cache
def _gene_functions() -> tuple[str, ...]:
    """Every KEGG orthology, COG and Pfam id of the demo, shuffled, so that any slice is a mixture."""
    functions = [f"KEGG.ORTHOLOGY:K{number:05d}" for number in range(1, 27_000)]
    functions += [f"COG:COG{number:04d}" for number in range(1, 5_700)]
    functions += [f"PFAM:PF{number:05d}" for number in range(1, 20_000)]
    Random(0).shuffle(functions)
    return tuple(functions)


@cache
def _counts() -> tuple[int, ...]:
    """Numbers of genes per function: most functions have a few, some have thousands."""
    dice = Random(1)
    return tuple(1 + int(dice.paretovariate(0.9)) % 20_000 for _ in range(8191))


_ANNOTATING_RUNS = tuple(tuple(run for run in story.runs if run.workflow in ANNOTATING) for story in STORIES)


def _annotating_executions(blueprint: Blueprint, workflows: frozenset[str] = ANNOTATING) -> Iterator[str]:
    for number in range(blueprint.biosamples):
        for run in _ANNOTATING_RUNS[number % len(_ANNOTATING_RUNS)]:
            if run.workflow in workflows:
                yield execution_of(blueprint, number, run)


def functional_annotation_aggregates(blueprint: Blueprint) -> Iterator[Document]:
    """The `functional_annotation_agg`: how many genes of a function each annotating workflow execution found.

    No execution has a function twice (NMDC keeps a unique index over both). The documents carry their `_id`
    already: there are so many that copying each to put it in front would cost more than making it.
    """
    functions, counts = _gene_functions(), _counts()
    prefix = object_id_prefix("functional_annotation_agg", blueprint.seed)
    each, rest = divmod(blueprint.aggregates, blueprint.annotations)
    ordinal = 0
    for place, execution in enumerate(_annotating_executions(blueprint)):
        size = each + (place < rest)
        start = (place * 7919 + blueprint.seed * 104_729) % len(functions)
        first_count = (place * 31 + blueprint.seed) % len(counts)
        for offset in range(size):
            yield {
                "_id": ObjectId(prefix + ordinal.to_bytes(5, "big")),
                "was_generated_by": execution,
                "gene_function_id": functions[(start + offset) % len(functions)],
                "count": counts[(first_count + offset) % len(counts)],
                "type": "nmdc:FunctionalAnnotationAggMember",
            }
            ordinal += 1


def functional_annotations(blueprint: Blueprint) -> Iterator[Document]:
    """The `functional_annotation_set`: a specimen for each metagenome annotation.

    They have no `subject`: its range, GeneProduct, has no collection that a document could be in.
    """
    functions = _gene_functions()
    pfam = [function for function in functions if function.startswith("PFAM")]
    for place, execution in enumerate(_annotating_executions(blueprint, METAGENOME_ANNOTATION)):
        yield {
            "type": "nmdc:FunctionalAnnotation",
            "was_generated_by": execution,
            "has_function": pfam[place % len(pfam)],
            "feature_category": identified_term("SO:0000316", "CDS"),
        }


def genome_features(blueprint: Blueprint) -> Iterator[Document]:
    """The `genome_feature_set`: a specimen for each annotating workflow execution."""
    dice = blueprint.dice("genome_feature_set")
    for place, execution in enumerate(_annotating_executions(blueprint)):
        start = dice.randrange(1, 90_000)
        yield {
            "type": "nmdc:GenomeFeature",
            "seqid": f"{execution}_contig_{place}",
            "start": start,
            "end": start + 3 * dice.randrange(50, 900) - 1,
            "strand": "+-"[place % 2],
            "phase": 0,
            "feature_type": "CDS",
            "feature_category": identified_term("SO:0000316", "CDS"),
        }
