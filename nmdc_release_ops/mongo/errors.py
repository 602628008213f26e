"""The base of all errors that concern a MongoDB server, its data, or an archive of it."""


class MongoError(Exception):
    """Something about a MongoDB that an operator has to know.

    Its text states what happened and what to do next. The caller of the library adds the state of the origin.
    """
