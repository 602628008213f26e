"""Notices to people."""

from typing import Any

import dagster as dg

from nmdc_release_ops.resources.environment import NoticeSettings
from nmdc_release_ops.services.webhook import post_text


class Notices(dg.ConfigurableResource[Any]):
    """Messages to the people concerned, by `NMDC_NOTICE_WEBHOOK`; where that is not set, there are none."""

    @property
    def are_wanted(self) -> bool:
        return NoticeSettings.read().webhook is not None

    def send(self, text: str) -> str | None:
        """Send `text` if notices are wanted; return why it did not arrive. Raises nothing."""
        address = NoticeSettings.read().webhook
        return None if address is None else post_text(address.get_secret_value(), text)
