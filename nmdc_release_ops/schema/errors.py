"""The family of errors that concern a schema release."""


class SchemaError(Exception):
    """Something about a schema release that an operator has to know; its text says what, and what to do next."""
