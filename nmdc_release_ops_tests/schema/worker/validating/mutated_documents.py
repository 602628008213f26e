"""Runs in a schema release's environment: validates documents of every class, valid and damaged, by the fast pass and
by LinkML.

Arguments: file with the compiled schema, seed, a folder, and for one comparison or several, such as "compiled:2000": whether
the release's own rules are "compiled" or "called", and the number of documents. Prints JSON, for each comparison: how often
each kind of damage was done, the verdicts, the classes, and every disagreement.
"""

import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from re import _constants as kind  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import bson
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from linkml.generators import JsonSchemaGenerator
from linkml.generators.jsonschemagen import JsonSchema
from linkml.validator import Validator, validation_context
from linkml.validator.plugins import JsonschemaValidationPlugin
from linkml_runtime.utils.formatutils import camelcase
from nmdc_schema.nmdc_data import get_nmdc_schema_definition
from worker.compiling import plugin
from worker.compiling.compile_schema import compile_schema
from worker.compiling.plugin import PLUGIN
from worker.validating.archived_blocks import ArchivedBlock, Piece
from worker.validating.compiled import CompiledSchema
from worker.validating.fast_pass import FastPass
from worker.validating.integrity.references import ReferenceRules, References
from worker.validating.judge_by_layout import JudgeByLayout
from worker.validating.linkml_judge import Judge

Document = dict[str, Any]

OF_THE_SCHEMA = ("$schema", "$id", "$defs", "metamodel_version", "version", "title", "type")
"""Keys at the root of LinkML's JSON Schema that are the same for every class."""
GENERATED_ANEW = 4

DATES = (
    *(
        "2020-01-01",
        "2020-1-1",
        "2020-02-30",
        "20200101",
        "2020-W01-1",
        "2020-001",
        "2020",
        "2020-13",
        "01/02/2020",
        "24:00",
    ),
    *(
        "2020-01-01T10:00:00",
        "2020-01-01T10:00:00Z",
        "2020-01-01T10:00:00z",
        "2020-01-01 10:00:00Z",
        "2020-01-01T10:00Z",
    ),
    *(
        "2020-01-01T10:00:00.123456789+01:00",
        "2020-01-01T25:00:00Z",
        "2020-01-01T10:00:60Z",
        "2020-01-01T10:00:00+0100",
    ),
    *("2020-01-01T10:00:00-00:00", " 2020-01-01T10:00:00Z", "2020-01-01T10:00:00Z\n", "\uff12020-01-01T10:00:00Z"),
)
TEXTS = (
    *("é", "e\u0301", "٣", "\uff15", "Ⅷ", "ǅ", "\u2028", "\x00", "\u00a0", "🧬", "\u202e", "ß", "İ"),
    *("\u200b", "\ufeff", "\U0001d7d8"),
)
NUMBERS = (
    *(0, 1, -1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 1.0, -0.0, 0.1, 1e308, 5e-324, 1e16, 90, 90.1, -180.5),
    *(float("nan"), float("inf"), float("-inf"), True, False),
)
FOREIGN = (
    *(
        Int64(3),
        Int64(2**40),
        Decimal128("1.5"),
        Decimal128("NaN"),
        datetime(2020, 1, 1, tzinfo=UTC),
        ObjectId("0" * 24),
    ),
    *(
        b"bytes",
        Binary(b"\x00" * 16, 4),
        Regex("a"),
        Code("x"),
        Timestamp(1, 1),
        MinKey(),
        MaxKey(),
        bson.DatetimeMS(10**17),
    ),
)
PLAIN = (None, "", [], {}, 0, 1.5, True, "text", ["text"], {"text": "text"}, [None], [[]], [{}])


parsed = cache(parser.parse)


class Maker:
    """Makes documents that conform to a JSON Schema of LinkML's, most of them."""

    def __init__(self, content: dict[str, Any], chance: random.Random) -> None:
        self._content = content
        self._chance = chance

    def document(self, class_name: str, wealth: float) -> Document:
        """wealth: the chance of each slot that is not required to be there."""
        made: Document = self._value(self._content["classes"][class_name], wealth, 0)
        return made

    def _value(self, schema: dict[str, Any], wealth: float, depth: int) -> Any:
        while "$ref" in schema:
            schema = self._content["definitions"][schema["$ref"].removeprefix("#/$defs/").replace("%20", " ")]
        patterns = [
            part.get("then", part)["format"] for part in schema.get("allOf", []) if "format" in part.get("then", part)
        ]
        units = [part["$ref"] for part in schema.get("allOf", []) if "unit%20of%20" in part.get("$ref", "")]
        if units:
            value = self._value(schema["allOf"][0], wealth, depth)
            allowed = self._content["units"][units[0].rpartition("%20")[2]]
            for quantity in value if isinstance(value, list) else [value]:
                if isinstance(quantity, dict):
                    quantity["has_unit"] = self._chance.choice(allowed)
            return value
        if "anyOf" in schema:
            options = [one for one in schema["anyOf"] if one.get("type") != "null"]
            option = self._chance.choice(options)
            return self._value({**option, "allOf": [*option.get("allOf", []), *schema.get("allOf", [])]}, wealth, depth)
        if "enum" in schema:
            short = [one for one in schema["enum"] if not str(one).startswith("https://")]
            return self._chance.choice(short or schema["enum"])
        if "const" in schema:
            return schema["const"]
        if "properties" in schema:
            return self._object(schema, wealth, depth)
        of = schema.get("type")
        of = next(one for one in of if one != "null") if isinstance(of, list) else of
        if of == "array":
            many = max(schema.get("minItems", 1), self._chance.randint(1, 3) if depth < 3 else 1)
            return [
                self._value(schema["items"], wealth, depth + 1) for _ in range(min(many, schema.get("maxItems", many)))
            ]
        if of in ("number", "integer"):
            low, high = schema.get("minimum", -10), schema.get("maximum", 100)
            return self._chance.randint(int(low), int(high)) if of == "integer" else self._chance.uniform(low, high)
        if of == "boolean":
            return self._chance.random() < 0.5
        return self._text(patterns)

    def _object(self, schema: dict[str, Any], wealth: float, depth: int) -> Document:
        made = {}
        # What is required under a condition is always given.
        rules = [schema, *schema.get("allOf", [])]
        required = {
            name for rule in rules for part in (rule, rule.get("then", {})) for name in part.get("required", [])
        }
        for name, of in schema["properties"].items():
            if name in required or self._chance.random() < wealth / (1 + depth * 3):
                made[name] = self._value(of, wealth, depth + 1)
        return made

    def _text(self, formats: list[str]) -> str:
        if "format:date-time" in formats:
            return "2021-03-04T05:06:07Z"
        found = [int(one.removeprefix("pattern:")) for one in formats if one.startswith("pattern:")]
        if not found:
            return f"text {self._chance.randint(0, 99)}"
        pattern = self._content["patterns"][found[0]]
        for _ in range(20):
            text = self._matching(parsed(pattern))
            if re.search(pattern, text):
                break
        return text

    def _matching(self, parts: Any) -> str:
        """A text that matches a regular expression, unless it looks ahead."""
        made = ""
        for operation, argument in parts:
            if operation is kind.LITERAL:
                made += chr(argument)
            elif operation is kind.ANY:
                made += self._chance.choice("aZ5 -é")
            elif operation is kind.IN:
                made += self._one_of(argument)
            elif operation in (kind.MAX_REPEAT, kind.MIN_REPEAT):
                least, most, inner = argument
                many = self._chance.randint(least, min(most, least + 2))
                made += "".join(self._matching(inner) for _ in range(many))
            elif operation is kind.SUBPATTERN:
                made += self._matching(argument[-1])
            elif operation is kind.BRANCH:
                made += self._matching(self._chance.choice(argument[1]))
            elif operation is kind.NOT_LITERAL:
                made += "x" if chr(argument) != "x" else "y"
        return made

    def _one_of(self, items: Any) -> str:
        if items[0][0] is kind.NEGATE:
            return "x"
        operation, argument = self._chance.choice(items)
        if operation is kind.RANGE:
            return chr(self._chance.randint(*argument))
        if operation is kind.CATEGORY:
            return {kind.CATEGORY_DIGIT: "7", kind.CATEGORY_SPACE: " "}.get(argument, "w")
        return chr(argument)


class GeneratedOnce:
    """LinkML's generator of JSON Schema, as LinkML itself uses it from 1.12 on: once for all classes of a schema, because they
    differ only at the root. Before, it takes 5 s for each class anew.

    Of the first classes each is generated anew all the same, and has to be the same.
    """

    def __init__(self, generated: dict[str, JsonSchema], *, top_class: str, **options: Any) -> None:
        self._generated = generated
        self._class = top_class
        self._options = options

    def generate(self) -> JsonSchema:
        if not self._generated:
            self._generated[self._class] = self._anew()
            return self._generated[self._class]
        first = next(iter(self._generated.values()))
        of_class = first["$defs"][camelcase(self._class)]
        root = {key: first[key] for key in OF_THE_SCHEMA if key in first}
        root |= {key: value for key, value in of_class.items() if key not in OF_THE_SCHEMA}
        made = JsonSchema({**root, "additionalProperties": self._options["not_closed"]})
        if len(self._generated) < GENERATED_ANEW:
            self._generated[self._class] = self._anew()
            assert json.dumps(made, sort_keys=True) == json.dumps(self._generated[self._class], sort_keys=True)
        return made

    def _anew(self) -> JsonSchema:
        made: JsonSchema = JsonSchemaGenerator(top_class=self._class, **self._options).generate()
        return made


class LinkML:
    """The release's validation, as its users run it."""

    def __init__(self, definition: Any) -> None:
        if not hasattr(validation_context, "_json_schema_cache"):
            validation_context.JsonSchemaGenerator = partial(GeneratedOnce, {})
        plugins: list[Any] = [JsonschemaValidationPlugin(closed=True)]
        if find_spec(PLUGIN):
            plugins.append(import_module(PLUGIN).NmdcSchemaValidationPlugin())
        self._validator = Validator(definition, validation_plugins=plugins)

    def messages(self, document: Document, class_name: str | None) -> list[str] | None:
        """Its messages for a document of a class; None if the document names no class that the collection may hold."""
        if class_name is None:
            return None
        without_id = {key: value for key, value in document.items() if key != "_id"}
        # The path follows each message.
        found = [result.message for result in self._validator.iter_results(without_id, class_name)]
        return [message.rpartition(" in /")[0] or message for message in found]


Place = tuple[Any, Any]
"""A dict or list, and a key or index of it."""


def places(value: Any) -> Iterator[Place]:
    """Every place of a document, those within it included."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from places(value[key])


class Damage:
    """Ways to change a document; each tells whether it found something to change."""

    def __init__(self, chance: random.Random, types: list[str], units: list[str]) -> None:
        self._chance = chance
        self._types = types
        self._units = units

    def kinds(self) -> dict[str, Callable[[Document], bool]]:
        replacing = {
            "plain value of any type": PLAIN,
            "number at the edge": NUMBERS,
            "type that JSON has no word for": FOREIGN,
            "date": DATES,
            "text that is in no enum": ("no such value", "NO", " yes"),
            "null": (None,),
            "empty": ("", [], {}),
        }
        return {
            **{
                name: lambda document, values=values: self._replace(document, values)
                for name, values in replacing.items()
            },  # type: ignore[misc]
            "nothing": lambda document: True,
            "key missing": self._remove,
            "extra key": self._add,
            "text changed a little": self._edit,
            "strange letters": self._letters,
            "very long text": self._lengthen,
            "other class": self._retype,
            "other unit": self._other_unit,
            "number changed": self._renumber,
            "list in a list, or no list": self._nest,
            "item twice, or hundreds of times": self._multiply,
            "part moved elsewhere": self._move,
        }

    def _any(self, document: Document, suits: Callable[[Any], bool]) -> Place | None:
        found = [(parent, key) for parent, key in places(document) if suits(parent[key])]
        return self._chance.choice(found) if found else None

    def _at(self, document: Document, suits: Callable[[Any], bool], change: Callable[[Any], Any]) -> bool:
        place = self._any(document, suits)
        if place is not None:
            place[0][place[1]] = change(place[0][place[1]])
        return place is not None

    def _replace(self, document: Document, values: tuple[Any, ...]) -> bool:
        return self._at(document, lambda _: True, lambda _: deepcopy(self._chance.choice(values)))

    def _remove(self, document: Document) -> bool:
        parents = [one for one in [document, *(p[k] for p, k in places(document))] if isinstance(one, dict) and one]
        if not parents:
            return False
        parent = self._chance.choice(parents)
        del parent[self._chance.choice(list(parent))]
        return True

    def _add(self, document: Document) -> bool:
        parents = [document, *(p[k] for p, k in places(document) if isinstance(p[k], dict))]
        self._chance.choice(parents)[self._chance.choice(("extra", "", "Type", "name", "é"))] = deepcopy(
            self._chance.choice(PLAIN)
        )
        return True

    def _edit(self, document: Document) -> bool:
        def edited(text: str) -> str:
            at = self._chance.randint(0, len(text))
            return self._chance.choice(
                (
                    text + "\n",
                    text + " ",
                    " " + text,
                    text.upper(),
                    text[:-1],
                    text[1:],
                    text[:at] + "_" + text[at:],
                    text * 2,
                )
            )

        return self._at(document, lambda value: isinstance(value, str), edited)

    def _letters(self, document: Document) -> bool:
        def strange(text: str) -> str:
            at = self._chance.randint(0, len(text))
            letter = self._chance.choice(TEXTS)
            return text[:at] + letter + text[at + self._chance.randint(0, 1) :]

        return self._at(document, lambda value: isinstance(value, str), strange)

    def _lengthen(self, document: Document) -> bool:
        length = self._chance.choice((199, 201, 5_000, 100_000))
        return self._at(document, lambda v: isinstance(v, str), lambda text: (text + text[-1:] * length)[: length + 50])

    def _retype(self, document: Document) -> bool:
        owners = [document, *(p[k] for p, k in places(document) if isinstance(p[k], dict) and "type" in p[k])]
        owner = self._chance.choice(owners)
        output = str(owner.get("type"))
        full = "https://w3id.org/nmdc/" + output.removeprefix("nmdc:")
        owner["type"] = self._chance.choice(
            (*self._chance.sample(self._types, 3), full, output + " ", "nmdc:NoSuchClass", 1, None)
        )
        return True

    def _other_unit(self, document: Document) -> bool:
        quantities = [p[k] for p, k in places(document) if isinstance(p[k], dict) and "has_unit" in p[k]]
        if not quantities:
            return False
        quantity = self._chance.choice(quantities)
        quantity["has_unit"] = self._chance.choice(
            (*self._chance.sample(self._units, 4), "furlong", None, 1, ["m"], "")
        )
        if self._chance.random() < 0.1:
            del quantity["has_unit"]
        return True

    def _renumber(self, document: Document) -> bool:
        def is_number(value: Any) -> bool:
            return not isinstance(value, bool) and isinstance(value, int | float) and abs(value) < 2**62

        def other(number: float) -> Any:
            return self._chance.choice((number + 1, -number, number * 1e6, float(number), str(number), Int64(number)))

        return self._at(document, is_number, other)

    def _nest(self, document: Document) -> bool:
        return self._at(
            document, lambda _: True, lambda value: value[0] if isinstance(value, list) and value else [value]
        )

    def _multiply(self, document: Document) -> bool:
        many = self._chance.choice((2, 300))
        return self._at(
            document,
            lambda value: isinstance(value, list),
            lambda value: deepcopy(value) + [deepcopy(one) for one in value for _ in range(many)],
        )

    def _move(self, document: Document) -> bool:
        source, target = self._any(document, lambda _: True), self._any(document, lambda _: True)
        if source is None or target is None:
            return False
        target[0][target[1]] = deepcopy(source[0][source[1]])
        return True


BLOCK = ArchivedBlock("", 0, Path("file"), 0, 0, 0, 0, "")


def rejected(fast_pass: FastPass, raw: bytes) -> dict[int, bool | None]:
    return fast_pass.find_rejected(raw, [bson.decode(raw, fast_pass.codec)])


def main() -> None:
    path, seed, scratch, *comparisons = sys.argv[1:]
    content = json.loads(Path(path).read_text())
    definition = get_nmdc_schema_definition()
    # It takes most of its time to begin with a class, so there is one for all comparisons.
    linkml = LinkML(definition)
    found = []
    for comparison in comparisons:
        rules, _, count = comparison.partition(":")
        schema = CompiledSchema(content)
        if rules == "called":
            plugin.KNOWN_DIGEST = "another"
            schema = CompiledSchema(json.loads(json.dumps(compile_schema(definition))))
        assert schema.calls_plugin is (rules == "called")
        found.append(compare(schema, linkml, random.Random(int(seed)), int(count), Path(scratch)))
    json.dump(found, sys.stdout)


def compare(schema: CompiledSchema, linkml: LinkML, chance: random.Random, count: int, scratch: Path) -> dict[str, Any]:
    """What becomes of `count` documents, by the fast pass and by LinkML."""
    content = schema.content
    maker, judge = Maker(content, chance), Judge(schema, scratch)
    collections = content["collections"]
    types = sorted({output for about in collections.values() for output in about["types"]})
    home = {name: collection for collection, about in collections.items() for name in about["types"].values()}
    fast_passes = {
        name: FastPass(schema, name, judge.rules_accept if schema.calls_plugin else None) for name in collections
    }
    units = sorted({unit for allowed in content["units"].values() for unit in allowed}) or ["m", "cm", "g", "L", "kg"]
    damage = Damage(chance, types, units).kinds()
    verdicts: dict[str, Counter[str]] = {name: Counter() for name in damage}
    sound: Counter[str] = Counter()
    disagreements: list[Any] = []
    alone = accepted_by_layout = 0
    # References are none of this comparison's business.
    by_layout = {
        name: JudgeByLayout(schema, name, References(ReferenceRules({}), lambda _: {})) for name in collections
    }
    classes = sorted(home)
    for number in range(count):
        class_name = classes[number % len(classes)]
        collection = home[class_name]
        for _ in range(5):
            document = maker.document(class_name, wealth=chance.choice((0.0, 0.1, 0.3)))
            if not rejected(fast_passes[collection], bson.encode(document)):
                break
        damaged = chance.choice(list(damage)) if sound[class_name] else "nothing"
        changed = damage[damaged](document)
        for _ in range(chance.choice((0, 0, 0, 1))):
            changed = damage[chance.choice(list(damage))](document) or changed
        try:
            raw = bson.encode({"_id": number, **{str(key): value for key, value in document.items()}})
        except bson.errors.InvalidDocument:
            # A key with a zero byte: no document at all.
            continue
        fast = rejected(fast_passes[collection], raw).get(0, True)
        # As the release's own tools read it.
        read = bson.decode(
            raw, bson.codec_options.CodecOptions(datetime_conversion=bson.DatetimeConversion.DATETIME_AUTO)
        )
        violations = [violation.message for violation in judge.violations(collection, read)]
        expected = linkml.messages(read, content["collections"][collection]["types"].get(str(read.get("type"))))
        if expected is not None and violations != expected:
            disagreements.append(
                [damaged, collection, "in what they say", repr(read)[:3000], violations[:3], expected[:3]]
            )
        alone += fast is None
        undecided = by_layout[collection].find_undecided(Piece(BLOCK, raw))
        accepted_by_layout += not undecided
        if violations and not undecided:
            disagreements.append([damaged, collection, "by layout", repr(read)[:3000], violations[:3]])
        if fast is not None and fast == bool(violations):
            disagreements.append(
                [damaged, collection, fast, repr(read)[:3000], [message[:300] for message in violations[:3]]]
            )
        if changed:
            verdicts[damaged]["invalid" if violations else "valid"] += 1
        sound[class_name] += damaged == "nothing" and not violations
    return {
        "verdicts": verdicts,
        "classes": classes,
        "without a sound document": [name for name in classes if not sound[name]],
        "judged by LinkML alone": alone,
        "accepted by layout": accepted_by_layout,
        "disagreements": disagreements[:20],
        "all disagreements": len(disagreements),
    }


if __name__ == "__main__":
    main()
