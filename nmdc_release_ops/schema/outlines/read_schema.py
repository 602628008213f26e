"""A program that reads a schema's definition and writes its outline. Arguments: the YAML file, and the output file.

It runs in a process of its own: LinkML takes seconds to import and read a schema, and hundreds of megabytes. It uses this
project's LinkML, and runs no code of the schema release.
"""

import logging
import sys
from pathlib import Path

from linkml_runtime import SchemaView
from linkml_runtime.linkml_model import SlotDefinition

from nmdc_release_ops.schema.outlines.outline import Class, Outline, Slot

DATABASE = "Database"


def main() -> int:
    definition, output = sys.argv[1:]
    logging.disable(logging.WARNING)
    Path(output).write_text(outline_schema(SchemaView(definition)).model_dump_json(), encoding="utf-8")
    return 0


def outline_schema(view: SchemaView) -> Outline:
    """The outline of a schema, inheritance resolved."""
    classes = {
        str(name): Class(
            type=str(view.get_uri(name)),
            slots={str(slot.name): _outline_slot(slot, view) for slot in view.class_induced_slots(name)},
        )
        for name in view.all_classes()
        if name != DATABASE
    }
    enums = {str(name): tuple(map(str, enum.permissible_values)) for name, enum in view.all_enums().items()}
    collections = {
        str(slot.name): tuple(sorted(_descend(_ranges(slot, view), view)))
        for slot in view.class_induced_slots(DATABASE)
    }
    return Outline(classes=classes, enums=enums, collections=collections)


def _outline_slot(slot: SlotDefinition, view: SchemaView) -> Slot:
    ranges = _ranges(slot, view)
    # Of several types, each limits only the values that are of it.
    is_typed = len(ranges) == 1 and ranges[0] in view.all_types()
    limits = [slot, view.induced_type(ranges[0])] if is_typed else [slot]
    patterns = (simplify(str(one.pattern)) for one in limits if one.pattern)
    return Slot(
        ranges=ranges,
        required=bool(slot.required),
        multivalued=bool(slot.multivalued),
        pattern=" and ".join(dict.fromkeys(patterns)),
        minimum=max((float(one.minimum_value) for one in limits if one.minimum_value is not None), default=None),
        maximum=min((float(one.maximum_value) for one in limits if one.maximum_value is not None), default=None),
        parts=tuple(sorted(_descend(ranges, view))) if view.is_inlined(slot) else (),
    )


def simplify(pattern: str) -> str:
    """A pattern without the group around all of it, and anchors within that: LinkML has put others there from one version to
    the next, and `^(?:^x$)$`, `^(?:x)$` and `^x$` say the same.
    """
    while pattern.startswith("^(?:") and pattern.endswith(")$"):
        inner = pattern[4:-2]
        if not _is_one_alternative(inner):
            break
        pattern = f"^{_without_anchors(inner)}$"
    return pattern


def _without_anchors(pattern: str) -> str:
    is_anchored = pattern.endswith("$") and not pattern.endswith("\\$")
    return pattern.removeprefix("^").removesuffix("$" if is_anchored else "")


def _is_one_alternative(pattern: str) -> bool:
    """Whether all of its groups are closed, and no `|` is outside of them."""
    depth = position = 0
    is_listing = False
    while position < len(pattern):
        match pattern[position]:
            case "\\":
                position += 1
            case "[":
                is_listing = True
            case "]":
                is_listing = False
            case "(" if not is_listing:
                depth += 1
            case ")" if not is_listing:
                depth -= 1
            case "|" if not is_listing and depth == 0:
                return False
        if depth < 0:
            return False
        position += 1
    return depth == 0


def _ranges(slot: SlotDefinition, view: SchemaView) -> tuple[str, ...]:
    """Of a slot with options (`any_of`), `range` is only their common ancestor."""
    options = [str(option.range) for option in slot.any_of if option.range]
    return tuple(sorted(options)) or (str(slot.range or view.schema.default_range or "string"),)


def _descend(ranges: tuple[str, ...], view: SchemaView) -> set[str]:
    """The classes whose documents may be where one of these is asked for."""
    known = view.all_classes()
    return {str(name) for one in ranges if one in known for name in view.class_descendants(one)}


if __name__ == "__main__":
    sys.exit(main())
