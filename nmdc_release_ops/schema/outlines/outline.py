"""The outline of a schema: what documents may hold, without descriptions."""

from pydantic import BaseModel, ConfigDict


class Slot(BaseModel):
    """A slot of a class, with everything that the class says of it.

    Attributes:
        ranges: names of the classes, enumerations or types that its values may have.
        pattern: a regular expression for its values; empty if there is none. If the type of its values has one too, both.
        minimum, maximum: of its values, the type's included; None if there is none.
        parts: the classes that its values may be of, descendants included, if they are parts of the document. Empty if they
            are references to other documents, or no objects.
    """

    model_config = ConfigDict(frozen=True)

    ranges: tuple[str, ...]
    required: bool
    multivalued: bool
    pattern: str = ""
    minimum: float | None = None
    maximum: float | None = None
    parts: tuple[str, ...] = ()


class Class(BaseModel):
    """A class.

    Attributes:
        type: its CURIE, which documents hold as `type`.
    """

    model_config = ConfigDict(frozen=True)

    type: str
    slots: dict[str, Slot]


class Outline(BaseModel):
    """The outline of a schema.

    Attributes:
        enums: the values of each enumeration.
        collections: for each collection, the classes whose documents it may hold.
    """

    model_config = ConfigDict(frozen=True)

    classes: dict[str, Class]
    enums: dict[str, tuple[str, ...]]
    collections: dict[str, tuple[str, ...]]
