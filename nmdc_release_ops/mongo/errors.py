"""The family of errors that concern a MongoDB server, its data, or an archive of it."""


class MongoError(Exception):
    """Something about a MongoDB that an operator has to know.

    Its text says what happened and what to do next. Whoever calls the library knows, and adds, what state the
    origin is in.
    """
