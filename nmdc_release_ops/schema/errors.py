"""The family of errors that concern a schema release."""


class SchemaError(Exception):
    """A problem with a schema release. Its text says what happened and what to do next."""
