"""Instruments, their configurations and calibrations: the few documents that many others refer to."""

from collections.abc import Iterator
from copy import deepcopy

from nmdc_release_ops.demo.blueprint import Blueprint
from nmdc_release_ops.demo.values import Document, portion, quantity

_INSTRUMENTS = (
    ("illumina", "novaseq_6000"),
    ("illumina", "novaseq_x"),
    ("illumina", "hiseq_2500"),
    ("illumina", "miseq"),
    ("pacbio", "sequel_IIe"),
    ("pacbio", "revio"),
    ("oxford_nanopore", "promethion"),
    ("thermo_fisher", "orbitrap_eclipse_tribid"),
    ("thermo_fisher", "orbitrap_q_exactive"),
    ("thermo_fisher", "exploris_480"),
    ("agilent", "agilent_8890A"),
    ("bruker", "solarix_12T"),
    ("bruker", "solarix_15T"),
    ("scientific_industries", "vortex_genie_2"),
)
SEQUENCERS = range(7)
ORBITRAPS = range(7, 10)
GAS_CHROMATOGRAPH = 10
FT_ICR = range(11, 13)
VORTEX = 13

ORBITRAP_CONFIGURATION, GAS_CONFIGURATION, FT_ICR_CONFIGURATION = range(3)
REVERSED_PHASE, HILIC, GAS_COLUMN = range(3)

_MASS_SPECTROMETRY: tuple[Document, ...] = (
    {
        "name": "Orbitrap, electrospray, data-dependent",
        "ionization_source": "electrospray_ionization",
        "mass_analyzers": ["Orbitrap", "ion_trap"],
        "mass_spectrometry_acquisition_strategy": "data_dependent_acquisition",
        "mass_spectrum_collection_modes": ["full_profile", "centroid"],
        "polarity_mode": "positive",
        "resolution_categories": ["high", "low"],
    },
    {
        "name": "Quadrupole, electron ionization, full scan",
        "ionization_source": "electron_ionization",
        "mass_analyzers": ["quadrupole"],
        "mass_spectrometry_acquisition_strategy": "full_scan_only",
        "mass_spectrum_collection_modes": ["centroid"],
        "polarity_mode": "positive",
        "resolution_categories": ["low"],
    },
    {
        "name": "FT-ICR, electrospray, full scan",
        "ionization_source": "electrospray_ionization",
        "mass_analyzers": ["ion_cyclotron_resonance"],
        "mass_spectrometry_acquisition_strategy": "full_scan_only",
        "mass_spectrum_collection_modes": ["full_profile"],
        "polarity_mode": "negative",
        "resolution_categories": ["high"],
    },
)

_CHROMATOGRAPHY = (
    ("Reversed phase on C18", "liquid_chromatography", "C18"),
    ("HILIC", "liquid_chromatography", "HILIC"),
    ("Polysiloxane capillary", "gas_chromatography", "Polysiloxane"),
)


def instruments(blueprint: Blueprint) -> Iterator[Document]:
    """The `instrument_set`."""
    for index, (vendor, model) in enumerate(_INSTRUMENTS):
        yield {
            "id": blueprint.id("inst", index),
            "type": "nmdc:Instrument",
            "name": f"{vendor} {model}".replace("_", " "),
            "vendor": vendor,
            "model": model,
        }


def configurations(blueprint: Blueprint) -> Iterator[Document]:
    """The `configuration_set`: three of mass spectrometry, three of chromatography."""
    for index, settings in enumerate(_MASS_SPECTROMETRY):
        yield {
            "id": blueprint.id("mscon", index),
            "type": "nmdc:MassSpectrometryConfiguration",
            "description": f"{settings['name']}, as configured for the demo.",
            **deepcopy(settings),
        }
    for index, (name, category, phase) in enumerate(_CHROMATOGRAPHY):
        yield {
            "id": blueprint.id("chrcon", index),
            "type": "nmdc:ChromatographyConfiguration",
            "name": name,
            "description": f"{name}, as configured for the demo.",
            "chromatographic_category": category,
            "stationary_phase": phase,
            "temperature": quantity(45.0, "Cel"),
            "ordered_mobile_phases": [
                {
                    "type": "nmdc:MobilePhaseSegment",
                    "duration": quantity(12.5, "min"),
                    "volume": quantity(4.0, "mL"),
                    "substances_used": [portion("acetonitrile", "solvent"), portion("formic_acid", "acid")],
                }
            ],
        }


def calibrations(blueprint: Blueprint) -> Iterator[Document]:
    """The `calibration_set`. The even ones are for gas chromatography, the odd ones for FT-ICR."""
    for index in range(blueprint.calibrations):
        gas = index % 2 == 0
        yield {
            "id": blueprint.id("calib", index),
            "type": "nmdc:CalibrationInformation",
            "name": f"Calibration {index}",
            "calibration_object": blueprint.calibration_file(index),
            "internal_calibration": False,
            "calibration_target": "retention_index" if gas else "mass_charge_ratio",
            "calibration_standard": "fames" if gas else "srfa",
        }
