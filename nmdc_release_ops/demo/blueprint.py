"""How many documents of each kind a demo database has, and the ids by which they refer to each other."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from nmdc_release_ops.demo.identifiers import identifier
from nmdc_release_ops.demo.lineage import METAGENOME_ANNOTATION, STORIES, Story, annotations_of, documents_of, story_of

BLOCK = 4
"""Biosamples are collected in blocks: one study, one field site and one collecting visit for each."""

INSTRUMENTS = 14
CONFIGURATIONS = 6
ORGANISMS = 6
CALIBRATED_BIOSAMPLES = 128
"""A pair of calibrations (one for gas chromatography, one for FT-ICR) serves this many biosamples."""

_PROCESSED_STEPS = 8
_SLOTS = 32
_CALIBRATION_FILES = 1 << 39  # above every index of a biosample's own data objects


@dataclass(frozen=True)
class Blueprint:
    """The plan of one demo database. Equal blueprints give equal databases, byte for byte."""

    seed: int
    biosamples: int
    studies: int
    sites: int
    aggregates: int

    @classmethod
    def for_scale(cls, scale: int, seed: int) -> "Blueprint":
        """A database of about `scale` documents, and at least one of each story (about 400 documents).

        Annotation aggregates are half of 20,000 documents and seven eighths of a million: in NMDC's database their
        share grows with its size.
        """
        others = min(0.8 * scale, 10_000 * (scale / 20_000) ** 0.646)
        per_biosample = documents_of(len(STORIES)) / len(STORIES) + 1.5
        biosamples = max(len(STORIES), round((others - 40) / per_biosample))
        blueprint = cls(
            seed=seed,
            biosamples=biosamples,
            studies=4 + biosamples // 150,
            sites=4 + biosamples // 60,
            aggregates=0,
        )
        aggregates = max(annotations_of(biosamples), scale - blueprint.documents)
        return cls(seed, biosamples, blueprint.studies, blueprint.sites, aggregates)

    @property
    def blocks(self) -> int:
        """Number of blocks of biosamples. The last one may be smaller."""
        return math.ceil(self.biosamples / BLOCK)

    @property
    def calibrations(self) -> int:
        """Number of calibrations: two for every `CALIBRATED_BIOSAMPLES` biosamples."""
        return 2 * math.ceil(self.biosamples / CALIBRATED_BIOSAMPLES)

    @property
    def annotations(self) -> int:
        """Number of workflow executions that annotate genes. The aggregates are divided among them."""
        return annotations_of(self.biosamples)

    @property
    def documents(self) -> int:
        """Number of documents in all collections of the schema."""
        once = self.studies + self.sites + INSTRUMENTS + CONFIGURATIONS + ORGANISMS
        return (
            once
            + documents_of(self.biosamples)
            + self.blocks  # collecting visits
            + 2 * self.calibrations  # with a data object each
            + self.annotations  # a genome feature each
            + annotations_of(self.biosamples, METAGENOME_ANNOTATION)  # a functional annotation each
            + self.aggregates
        )

    def dice(self, collection: str) -> Random:
        """The random numbers of one collection. Nothing that two collections have to agree on depends on them."""
        return Random(f"{self.seed}:{collection}")

    def id(self, typecode: str, index: int) -> str:
        """The id of document number `index` of a typecode."""
        return identifier(typecode, index, self.seed)

    def stories(self) -> Iterator[tuple[int, Story]]:
        """The number of each biosample, with its story."""
        return ((biosample, story_of(biosample)) for biosample in range(self.biosamples))

    def study_of(self, biosample: int) -> str:
        """The study of a biosample. Studies 0 and 1 are consortia: they have studies instead of biosamples."""
        return self.id("sty", 2 + biosample // BLOCK % (self.studies - 2))

    def site_of(self, biosample: int) -> str:
        """The field site of a biosample. Site 0 is the region that the others are part of."""
        return self.id("frsite", 1 + biosample // BLOCK % (self.sites - 1))

    def biosample(self, biosample: int) -> str:
        """The id of a biosample."""
        return self.id("bsm", biosample)

    def processed_sample(self, biosample: int, step: int) -> str:
        """The id of the sample from step number `step` of a biosample's processing."""
        return self.id("procsm", biosample * _PROCESSED_STEPS + step)

    def organism_sample(self, biosample: int, step: int) -> str:
        """The id of the sample from an isolating or culturing step."""
        return self.id("osm", biosample * _PROCESSED_STEPS + step)

    def stored_sample(self, biosample: int) -> str:
        """The id of the sample from storing a biosample."""
        return self.id("procsm", biosample * _PROCESSED_STEPS + _PROCESSED_STEPS - 1)

    def data_object(self, biosample: int, slot: int) -> str:
        """The id of data object number `slot` of a biosample's story."""
        return self.id("dobj", biosample * _SLOTS + slot)

    def calibration(self, biosample: int, *, gas: bool) -> str:
        """The id of the calibration for a biosample's measurement."""
        return self.id("calib", biosample // CALIBRATED_BIOSAMPLES * 2 + (0 if gas else 1))

    def calibration_file(self, calibration: int) -> str:
        """The id of a calibration's data object."""
        return self.id("dobj", _CALIBRATION_FILES + calibration)
