"""Logging the options of a run's config, because the Launchpad keeps those of the last launch."""

import re

import dagster as dg

# As much as can be a login or a token in an address, also in a malformed one.
_SECRET = re.compile(r"(?<=//)\S*(?=@)|(?<=\?)\S+")


def log_options(context: dg.OpExecutionContext, config: dg.Config) -> None:
    """Log each option that is not the default. Credentials in an address are masked."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if value != field.default:
            context.log.warning(
                f"This run sets {name}: {_SECRET.sub('***', str(value))} (the default is {field.default})."
            )
