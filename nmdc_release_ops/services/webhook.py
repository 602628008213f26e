"""A message to a chat by a webhook, in the format of Slack's incoming webhooks (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks)."""

from urllib.parse import urlsplit

from nmdc_release_ops.services.github import LOOPBACK
from nmdc_release_ops.services.transport import AnswerUnusable, NoAnswer, Timeouts, Transport

TIMEOUTS = Timeouts(connect=2, read=3, answer=5, retries=0)
"""Short, because the origin may be frozen meanwhile."""
_LONGEST_TEXT = 3_500


def post_text(address: str, text: str, timeouts: Timeouts = TIMEOUTS) -> str | None:
    """Send `text`; return why that failed, None if it arrived. Raises nothing. The address is a secret and never shown."""
    if not _is_private(address):
        return "its address does not begin with https:"
    shown = text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + " ..."
    # Slack must not read parts of the text as its own markup: a mention of everybody, a link.
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    try:
        answer = Transport(None, timeouts).send("POST", address, body={"text": shown}, repeatable=False)
    except (NoAnswer, AnswerUnusable) as error:
        return str(error)
    return None if 200 <= answer.status < 300 else f"the webhook answered {answer.status}"


def _is_private(address: str) -> bool:
    """Whether nobody on the network can read it."""
    try:
        parts = urlsplit(address)
        return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    except ValueError:
        return False
