"""Studies, consortia, field sites, visits to them, and the expected organisms of isolates."""

from collections.abc import Iterator

from nmdc_release_ops.demo.blueprint import BLOCK, ORGANISMS, Blueprint
from nmdc_release_ops.demo.values import Document, credit, day, geolocation, person, provenance, text

_TOPICS = (
    ("permafrost thaw and carbon turnover", "Soil", "Terrestrial"),
    ("river corridor microbiomes", "Freshwater", "Aquatic"),
    ("rhizosphere communities of switchgrass", "Roots", "Plants"),
    ("nutrient cycling in lake sediment", "Sediment", "Aquatic"),
    ("activated sludge under changing load", "Activated Sludge", "Wastewater"),
)
_ROLES = (
    ("Principal Investigator",),
    ("Conceptualization", "Funding acquisition"),
    ("Methodology",),
    ("Data curation", "Software"),
    ("Investigation", "Writing original draft"),
)
_CONSORTIA = ("Consortium of Observed Watersheds", "Network of Long Transects")
_SPECIES = (
    (1423, "Bacillus subtilis"),
    (562, "Escherichia coli"),
    (303, "Pseudomonas putida"),
    (1902, "Streptomyces coelicolor"),
    (382, "Sinorhizobium meliloti"),
    (5062, "Aspergillus oryzae"),
)


def _dois(index: int) -> list[Document]:
    # 10.5072 is DataCite's prefix for tests: none of these resolves.
    dois: list[Document] = [
        {
            "type": "nmdc:Doi",
            "doi_value": f"doi:10.5072/award/{index:05d}",
            "doi_category": "award_doi",
            "doi_provider": ("emsl", "jgi")[index % 2],
        }
    ]
    if index % 2:
        dois.append(
            {
                "type": "nmdc:Doi",
                "doi_value": f"doi:10.5072/data/{index:05d}",
                "doi_category": "dataset_doi",
                "doi_provider": ("ess_dive", "massive", "kbase", "zenodo")[index % 4],
            }
        )
    if index % 3:
        dois.append(
            {
                "type": "nmdc:Doi",
                "doi_value": f"doi:10.5072/paper.{index}",
                "doi_category": "publication_doi",
            }
        )
    return dois


def _consortium(blueprint: Blueprint, index: int) -> Document:
    return {
        "id": blueprint.id("sty", index),
        "type": "nmdc:Study",
        "study_category": "consortium",
        "name": _CONSORTIA[index],
        "title": _CONSORTIA[index],
        "description": "An umbrella over research studies that share their protocols and their sites.",
        "homepage_website": [f"https://example.org/consortia/{index}"],
        "principal_investigator": person(index),
        "has_credit_associations": [credit(index, ("Principal Investigator",))],
    }


def studies(blueprint: Blueprint) -> Iterator[Document]:
    """The `study_set`: two consortia, then research studies, most of them part of one consortium."""
    dice = blueprint.dice("study_set")
    yield from (_consortium(blueprint, index) for index in range(len(_CONSORTIA)))
    for index in range(len(_CONSORTIA), blueprint.studies):
        topic, ecosystem_type, ecosystem_category = _TOPICS[index % len(_TOPICS)]
        study: Document = {
            "id": blueprint.id("sty", index),
            "type": "nmdc:Study",
            "study_category": "research_study",
            "name": f"Study {index} of {topic}",
            "title": f"A study of {topic}, transect {index}",
            "description": f"Samples were taken along transect {index} to learn about {topic}.",
            "objective": f"To relate {topic} to season and depth.",
            "ecosystem": "Environmental" if ecosystem_category != "Plants" else "Host-associated",
            "ecosystem_category": ecosystem_category,
            "ecosystem_type": ecosystem_type,
            "ecosystem_subtype": "Unclassified",
            "specific_ecosystem": "Unclassified",
            "associated_dois": _dois(index),
            "funding_sources": [f"Office of Synthetic Research, award {10_000 + index}"],
            "has_credit_associations": [
                credit(7 * index + place, roles)
                for place, roles in enumerate(_ROLES[: 2 + dice.randrange(len(_ROLES) - 1)])
            ],
            "provenance_metadata": provenance(index, dice),
        }
        if index % 4:
            study["part_of"] = [blueprint.id("sty", index % len(_CONSORTIA))]
        if index % 5:
            study["principal_investigator"] = person(7 * index)
        if index % 3 == 0:
            study["gold_study_identifiers"] = [f"gold:Gs{dice.randrange(10**6, 10**7)}"]
            study["insdc_bioproject_identifiers"] = [f"bioproject:PRJNA{dice.randrange(10**5, 10**6)}"]
        if index % 4 == 1:
            study["websites"] = [f"https://example.org/studies/{index}"]
            study["study_image"] = [
                {
                    "type": "nmdc:ImageValue",
                    "url": f"https://example.org/images/{index}.png",
                    "display_order": 0,
                }
            ]
            study["protocol_link"] = [
                {
                    "type": "nmdc:Protocol",
                    "name": "Field protocol",
                    "url": f"https://example.org/protocols/{index}",
                }
            ]
        yield study


def field_sites(blueprint: Blueprint) -> Iterator[Document]:
    """The `field_research_site_set`: a region, and the sites that are part of it."""
    dice = blueprint.dice("field_research_site_set")
    for index in range(blueprint.sites):
        site: Document = {
            "id": blueprint.id("frsite", index),
            "type": "nmdc:FieldResearchSite",
            "name": f"Site {index:04d}" if index else "The whole transect",
            "description": "A plot that is visited every season.",
            "lat_lon": geolocation(round(dice.uniform(-60, 70), 5), round(dice.uniform(-179, 179), 5)),
            "elev": round(dice.uniform(0, 3000), 1),
            "geo_loc_name": text("USA: Washington, Richland"),
            "habitat": ("forest", "stream bank", "grassland", "lake shore")[index % 4],
        }
        if index:
            site["part_of"] = [blueprint.id("frsite", 0)]
        yield site


def collecting_visits(blueprint: Blueprint) -> Iterator[Document]:
    """The `collecting_biosamples_from_site_set`: one visit for each block of biosamples."""
    for block in range(blueprint.blocks):
        first = block * BLOCK
        yield {
            "id": blueprint.id("clsite", block),
            "type": "nmdc:CollectingBiosamplesFromSite",
            "name": f"Visit {block}",
            "start_date": day(11 * block),
            "end_date": day(11 * block),
            "has_input": [blueprint.site_of(first)],
            "has_output": [
                blueprint.biosample(number) for number in range(first, min(first + BLOCK, blueprint.biosamples))
            ],
        }


def organisms(blueprint: Blueprint) -> Iterator[Document]:
    """The `organism_set`."""
    for index in range(ORGANISMS):
        number, species = _SPECIES[index]
        genus, epithet = species.split()
        yield {
            "id": blueprint.id("orgn", index),
            "type": "nmdc:Organism",
            "name": species,
            "organism_genus": genus,
            "organism_species": epithet,
            "strain_name": f"demo {index}",
            "estimated_size": 4_000_000 + 250_000 * index,
            "gc_content": 40.5 + 3 * index,
            "classified_as": [{"type": "nmdc:NcbiTaxon", "id": f"NCBITaxon:{number}", "name": species}],
        }
