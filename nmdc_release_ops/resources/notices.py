"""Notices to people."""

from typing import Any

import dagster as dg

from nmdc_release_ops.resources.environment import NoticeSettings
from nmdc_release_ops.services.webhook import post_text


class NoticesResource(dg.ConfigurableResource[Any]):
    """Notices in a chat, by `NMDC_NOTICE_WEBHOOK`; none if that is not set."""

    @property
    def are_wanted(self) -> bool:
        return NoticeSettings.read().webhook is not None

    def send(self, text: str) -> str | None:
        """Send `text` if notices are wanted; return why that failed, None if it arrived."""
        address = NoticeSettings.read().webhook
        return None if address is None else post_text(address.get_secret_value(), text)
