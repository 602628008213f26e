"""What somebody has said in a run's config, in the run's log: the Launchpad remembers what was said the last time."""

import re

import dagster as dg

_LOGIN = re.compile(r"//[^/\s@]*@")


def log_options(context: dg.OpExecutionContext, config: dg.Config) -> None:
    """Log each option that is not the default, by name. A login within an address is left out."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if value != field.default:
            context.log.warning(
                f"The config of this run says {name}: {_LOGIN.sub('//***@', str(value))} (the default is {field.default})."
            )
