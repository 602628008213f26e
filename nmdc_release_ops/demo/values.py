"""The value objects that NMDC documents are made of, in the shapes of schema 11.23.0."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

Document = dict[str, Any]

_EPOCH = datetime(2018, 1, 1, tzinfo=UTC)

_FIRST_NAMES = ("Ada", "Bela", "Chidi", "Dalia", "Emre", "Farah", "Goran", "Hana", "Iker", "Jomo", "Kaia")
_LAST_NAMES = ("Abara", "Brandt", "Castelo", "Dunne", "Eklund", "Fonoti", "Grau", "Hoshino", "Ibarra")
_PEOPLE = len(_FIRST_NAMES) * len(_LAST_NAMES)


def quantity(value: float, unit: str) -> Document:
    """A QuantityValue. `unit` is a UCUM code that the slot's `storage_units` annotation must allow."""
    return {
        "type": "nmdc:QuantityValue",
        "has_raw_value": f"{value} {unit}",
        "has_numeric_value": value,
        "has_unit": unit,
    }


def quantity_range(low: float, high: float, unit: str) -> Document:
    """A QuantityValue with a minimum and a maximum, as depths often have."""
    return {
        "type": "nmdc:QuantityValue",
        "has_raw_value": f"{low} - {high} {unit}",
        "has_minimum_numeric_value": low,
        "has_maximum_numeric_value": high,
        "has_unit": unit,
    }


def text(value: str) -> Document:
    """A TextValue."""
    return {"type": "nmdc:TextValue", "has_raw_value": value}


def timestamp(value: str) -> Document:
    """A TimestampValue; in NMDC of any precision from a year to a second."""
    return {"type": "nmdc:TimestampValue", "has_raw_value": value}


def geolocation(latitude: float, longitude: float) -> Document:
    """A GeolocationValue, in decimal degrees."""
    return {
        "type": "nmdc:GeolocationValue",
        "has_raw_value": f"{latitude} {longitude}",
        "latitude": latitude,
        "longitude": longitude,
    }


def identified_term(term: str, name: str) -> Document:
    """A ControlledIdentifiedTermValue, whose term is required."""
    return {
        "type": "nmdc:ControlledIdentifiedTermValue",
        "has_raw_value": f"{name} [{term}]",
        "term": {"type": "nmdc:OntologyClass", "id": term, "name": name},
    }


def taxon(number: int, name: str) -> Document:
    """A ControlledIdentifiedTermValue of a taxon in NCBI's taxonomy."""
    return {
        "type": "nmdc:ControlledIdentifiedTermValue",
        "has_raw_value": f"{name} [NCBITaxon:{number}]",
        "term": {"type": "nmdc:NcbiTaxon", "id": f"NCBITaxon:{number}", "name": name},
    }


def term(raw: str) -> Document:
    """A ControlledTermValue without an identified term, as older records have."""
    return {"type": "nmdc:ControlledTermValue", "has_raw_value": raw}


def portion(substance: str, role: str, volume: Document | None = None) -> Document:
    """A PortionOfSubstance."""
    document = {"type": "nmdc:PortionOfSubstance", "known_as": substance, "substance_role": role}
    return document if volume is None else {**document, "volume": volume}


def day(number: int) -> str:
    """A date, `number` days into eight years of field work."""
    return (_EPOCH + timedelta(days=number % 2900)).strftime("%Y-%m-%d")


def instant(number: int) -> str:
    """A date and time in UTC, RFC 3339, `number` minutes into eight years of computing."""
    return (_EPOCH + timedelta(minutes=number % 4_000_000)).isoformat()


def provenance(index: int, dice: Random) -> Document:
    """A ProvenanceMetadata: where the record came from and when it was last changed."""
    source = ("NMDC_Submission_Portal", "GOLD", "NEON_Data_Portal", "custom")[index % 4]
    document: Document = {
        "type": "nmdc:ProvenanceMetadata",
        "git_url": "https://github.com/microbiomedata/nmdc-runtime",
        "version": f"v2.{index % 12}.0",
        "source_system_of_record": source,
        "add_date": f"{day(index)}T00:00:00Z",
        "mod_date": f"{day(index + 200)}T08:30:00Z",
    }
    if source == "NMDC_Submission_Portal":
        digits = f"{dice.getrandbits(128):032x}"
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        document["submission_portal_identifier"] = ["-".join(parts)]
    return document


@cache
def _orcid(index: int, *, checked_by_x: bool) -> str:
    """A well-formed ORCID with its ISO 7064 check digit, from below the range that is assigned to people.

    ORCID assigns 0000-0001-5000-0007 and up, so these belong to nobody.
    """
    number = 10_000 + 37 * index
    while True:
        total = 0
        for digit in f"{number:015d}":
            total = (total + int(digit)) * 2
        check = (12 - total % 11) % 11
        if not checked_by_x or check == 10:
            break
        number += 1
    digits = f"{number:015d}{'X' if check == 10 else check}"
    return "-".join(digits[n : n + 4] for n in range(0, 16, 4))


def person(index: int) -> Document:
    """A PersonValue, as untidy as NMDC's before release 11.24.0.

    Some have no `name` but a `has_raw_value`; their ORCIDs are CURIEs, bare, URLs, padded, empty or end in a small
    x. The migrator to 11.24.0 can repair every one of them.
    """
    index %= _PEOPLE
    first, last = _FIRST_NAMES[index % len(_FIRST_NAMES)], _LAST_NAMES[index % len(_LAST_NAMES)]
    value: Document = {"type": "nmdc:PersonValue", "has_raw_value": f"{first} {last}"}
    if index % 5 != 3:
        value["name"] = f"{first} {last}"
    if index % 3 == 0:
        value["email"] = f"{first}.{last}@example.org".lower()
    if index % 10 == 4:
        value["websites"] = [f"https://example.org/people/{index}"]
    orcid = _orcid(index, checked_by_x=index % 8 in (2, 3))
    match index % 8:
        case 0:
            value["orcid"] = f"orcid:{orcid}"
        case 1 | 2:
            value["orcid"] = orcid
        case 3:
            value["orcid"] = orcid.replace("X", "x")
        case 4:
            value["orcid"] = f"https://orcid.org/{orcid}"
        case 5:
            value["orcid"] = f" {orcid}\t"
        case 6:
            value["orcid"] = ""
    return value


def credit(index: int, roles: Iterable[str]) -> Document:
    """A CreditAssociation of a person with roles of the CRediT taxonomy."""
    return {"type": "prov:Association", "applies_to_person": person(index), "applied_roles": list(roles)}
