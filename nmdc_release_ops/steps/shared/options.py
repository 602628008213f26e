"""Logging the options of a run's config, because the Launchpad keeps those of the last launch."""

import dagster as dg

from nmdc_release_ops.masking import mask_address


def log_options(context: dg.OpExecutionContext, config: dg.Config) -> None:
    """Log each option that is not the default. Credentials in an address are masked."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if value != field.default:
            context.log.warning(f"This run sets {name}: {mask_address(str(value))} (the default is {field.default}).")
