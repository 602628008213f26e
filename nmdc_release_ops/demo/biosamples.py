"""Biosamples of several environments, each with the usual measurements there."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random

from nmdc_release_ops.demo.blueprint import BLOCK, Blueprint
from nmdc_release_ops.demo.lineage import Story
from nmdc_release_ops.demo.values import (
    Document,
    day,
    geolocation,
    identified_term,
    provenance,
    quantity,
    quantity_range,
    taxon,
    term,
    text,
    timestamp,
)


@dataclass(frozen=True)
class Environment:
    """A kind of place. `measured` gives a slot, a unit that its `storage_units` allows, and the usual range."""

    name: str
    broad: tuple[str, str]
    local: tuple[str, str]
    medium: tuple[str, str]
    ecosystem: tuple[str, str, str, str, str]
    taxon: tuple[int, str]
    measured: tuple[tuple[str, str, float, float], ...]
    fixed: Document = field(default_factory=dict)


SOIL = Environment(
    name="soil",
    broad=("ENVO:00000446", "terrestrial biome"),
    local=("ENVO:00000114", "agricultural field"),
    medium=("ENVO:00001998", "soil"),
    ecosystem=("Environmental", "Terrestrial", "Soil", "Unclassified", "Agricultural land"),
    taxon=(410658, "soil metagenome"),
    measured=(
        ("temp", "Cel", -5, 30),
        ("annual_temp", "Cel", -2, 22),
        ("annual_precpt", "mm", 150, 1800),
        ("ammonium_nitrogen", "mg/kg", 0.5, 60),
        ("nitrate_nitrogen", "mg/kg", 0.5, 40),
        ("carb_nitro_ratio", "1", 8, 30),
        ("org_carb", "%", 0.5, 20),
        ("tot_nitro_content", "%", 0.05, 2),
        ("slope_gradient", "%", 0, 25),
        ("slope_aspect", "deg", 0, 360),
        ("samp_store_temp", "Cel", -80, 4),
    ),
    fixed={
        "sample_type": "soil",
        "soil_horizon": "A horizon",
        "drainage_class": "well",
        "profile_position": "summit",
        "tillage": ["chisel", "drill"],
        "cur_land_use": "row crops",
        "cur_vegetation": text("switchgrass"),
        "soil_type": text("Cambisols"),
        "ph_meth": text("https://example.org/protocols/ph"),
        "water_content": ["0.23 g of water/g of dry soil"],
        "fire": "2017-08 to 2017-09",
    },
)
WATER = Environment(
    name="water",
    broad=("ENVO:00000447", "marine biome"),
    local=("ENVO:00000045", "estuary"),
    medium=("ENVO:00002149", "sea water"),
    ecosystem=("Environmental", "Aquatic", "Marine", "Coastal", "Unclassified"),
    taxon=(408172, "marine metagenome"),
    measured=(
        ("temp", "Cel", -1, 28),
        ("conduc", "uS/cm", 50, 50_000),
        ("salinity", "mg/L", 500, 35_000),
        ("diss_oxygen", "mg/L", 0, 14),
        ("chlorophyll", "ug/L", 0.1, 40),
        ("nitrate", "umol/L", 0, 40),
        ("phosphate", "umol/L", 0, 4),
        ("turbidity", "[NTU]", 0, 60),
        ("diss_org_carb", "mg/L", 0.5, 20),
        ("samp_size", "L", 0.5, 10),
    ),
    fixed={
        "sample_type": "water",
        "tidal_stage": "high tide",
        "samp_collec_device": "Niskin bottle [ENVO:0001234]",
        "size_frac_low": quantity(0.2, "um"),
        "samp_store_dur": text("P2Y6M"),
    },
)
PLANT = Environment(
    name="plant-associated",
    broad=("ENVO:01000245", "cropland biome"),
    local=("ENVO:00000077", "agricultural ecosystem"),
    medium=("PO:0025025", "root system"),
    ecosystem=("Host-associated", "Plants", "Roots", "Rhizosphere", "Soil"),
    taxon=(939928, "rhizosphere metagenome"),
    measured=(
        ("host_height", "cm", 5, 250),
        ("host_age", "d", 10, 400),
        ("host_wet_mass", "g", 1, 900),
        ("light_intensity", "lx", 100, 90_000),
        ("air_temp", "Cel", 5, 35),
        ("humidity", "%", 20, 95),
        ("season_temp", "Cel", 5, 30),
    ),
    fixed={
        "sample_type": "plant associated",
        "growth_habit": "erect",
        "biotic_relationship": "mutualism",
        "host_common_name": text("switchgrass"),
        "host_genus": "Panicum",
        "host_taxid": taxon(38727, "Panicum virgatum"),
        "plant_struc": identified_term("PO:0009005", "root"),
        "growth_facil": term("field"),
        "chem_administration": [identified_term("CHEBI:17632", "nitrate"), term("water")],
        "fertilizer_regm": [text("urea;2 g/m2;R1/2019-05-01/P1M")],
    },
)
SEDIMENT = Environment(
    name="sediment",
    broad=("ENVO:00000873", "freshwater biome"),
    local=("ENVO:00000020", "lake"),
    medium=("ENVO:00002007", "sediment"),
    ecosystem=("Environmental", "Aquatic", "Freshwater", "Lake", "Sediment"),
    taxon=(749907, "sediment metagenome"),
    measured=(
        ("redox_potential", "mV", -400, 300),
        ("sulfate", "umol/L", 0, 900),
        ("methane", "umol/L", 0, 1500),
        ("tot_depth_water_col", "m", 1, 300),
        ("diss_iron", "mg/L", 0, 30),
        ("density", "g/cm3", 1, 2.7),
        ("org_matter", "ug/L", 10, 4000),
    ),
    fixed={
        "sample_type": "sediment",
        "sediment_type": "lithogenous",
        "oxy_stat_samp": "anaerobic",
        "porosity": text("0.6"),
        "organism_count": [quantity(230_000_000, "1")],
    },
)
WASTEWATER = Environment(
    name="wastewater",
    broad=("ENVO:01000313", "anthropogenic environment"),
    local=("ENVO:00002272", "waste treatment plant"),
    medium=("ENVO:00002001", "waste water"),
    ecosystem=("Engineered", "Wastewater", "Activated Sludge", "Unclassified", "Unclassified"),
    taxon=(527639, "wastewater metagenome"),
    measured=(
        ("biochem_oxygen_dem", "mg/L", 50, 500),
        ("chem_oxygen_dem", "mg/L", 100, 1200),
        ("sludge_retent_time", "h", 12, 400),
        ("tot_phosphate", "ug/L", 500, 9000),
        ("alkalinity", "meq/L", 1, 9),
        ("temp", "Cel", 8, 32),
        ("indust_eff_percent", "%", 0, 60),
    ),
    fixed={
        "wastewater_type": text("domestic"),
        "reactor_type": text("sequencing batch reactor"),
        "primary_treatment": text("settling"),
        "biocide": "none",
    },
)

ENVIRONMENTS = (SOIL, WATER, PLANT, SEDIMENT, WASTEWATER)

_ANALYSES = {
    "metagenome": "metagenomics",
    "metatranscriptome": "metatranscriptomics",
    "amplicon_sequencing_assay": "amplicon sequencing assay",
    "isolate_genome": "isolate genome sequencing",
    "nom": "natural organic matter",
    "metabolome": "metabolomics",
    "lipidome": "lipidomics",
    "metaproteome": "metaproteomics",
}


def _biosample(blueprint: Blueprint, number: int, story: Story, dice: Random) -> Document:
    environment = ENVIRONMENTS[number // BLOCK % len(ENVIRONMENTS)]
    ecosystem, category, kind, subtype, specific = environment.ecosystem
    upper = round(dice.random() * 2, 2)
    collected = day(11 * (number // BLOCK))
    biosample: Document = {
        "id": blueprint.biosample(number),
        "type": "nmdc:Biosample",
        "name": f"{environment.name} sample {number}",
        "samp_name": f"S{number:06d}",
        "associated_studies": [blueprint.study_of(number)],
        "env_broad_scale": identified_term(*environment.broad),
        "env_local_scale": identified_term(*environment.local),
        "env_medium": identified_term(*environment.medium),
        "samp_taxon_id": taxon(*environment.taxon),
        "ecosystem": ecosystem,
        "ecosystem_category": category,
        "ecosystem_type": kind,
        "ecosystem_subtype": subtype,
        "specific_ecosystem": specific,
        "geo_loc_name": text("USA: Washington, Richland"),
        "lat_lon": geolocation(round(dice.uniform(-60, 70), 5), round(dice.uniform(-179, 179), 5)),
        "elev": round(dice.random() * 3000, 1),
        "collection_date": timestamp(collected if number % 3 else collected[:7]),
        "depth": quantity_range(upper, round(upper + 0.1, 2), "m") if number % 2 else quantity(upper, "m"),
        "ph": round(4 + 5 * dice.random(), 2),
        "replicate_number": 1 + number % BLOCK,
    }
    biosample.update(deepcopy(environment.fixed))
    for slot, unit, low, high in environment.measured:
        if dice.random() < 0.8:
            biosample[slot] = quantity(round(low + (high - low) * dice.random(), 3), unit)
    if story.generation:
        biosample["analysis_type"] = [_ANALYSES[story.analyte]]
    if number % 3 == 0:
        biosample["collected_from"] = blueprint.site_of(number)
    if number % 2 == 0:
        biosample["provenance_metadata"] = provenance(number, dice)
    if number % 4 == 1:
        biosample["gold_biosample_identifiers"] = [f"gold:Gb{dice.randrange(10**6, 10**7)}"]
        biosample["insdc_biosample_identifiers"] = [f"biosample:SAMN{dice.randrange(10**7, 10**8)}"]
    if number % 5 == 2:
        biosample["biosample_categories"] = [("NEON", "LTER", "FICUS", "SFA")[number % 4]]
        biosample["badges"] = ["biogeochemistry"]
    if number % 6 == 5:
        biosample["misc_param"] = [
            {
                "type": "nmdc:PropertyAssertion",
                "has_raw_value": f"{dice.randrange(900)} Bq",
                "has_attribute_label": "radioactivity",
                "has_unit": "Bq",
            }
        ]
    if number % 7 == 3:
        # Incubated samples; the migrator to 11.24.0 removes the slot. Their `collection_time_inc` is left out
        # because the one to 11.25.0 refuses a database that has it.
        biosample["start_date_inc"] = collected
        biosample["collection_date_inc"] = day(11 * (number // BLOCK) + 7)
    if number % 9 == 4:
        biosample["embargoed"] = True
    return biosample


def biosamples(blueprint: Blueprint) -> Iterator[Document]:
    """The `biosample_set`."""
    dice = blueprint.dice("biosample_set")
    for number, story in blueprint.stories():
        yield _biosample(blueprint, number, story, dice)
