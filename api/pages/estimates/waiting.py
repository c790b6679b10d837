"""What the waiting page says: why the estimate is not there yet, and when it may be."""

from typing import Any

from api.http.context import services
from api.pages.language import gettext as _
from api.pages.language import ngettext
from shared.domain.errors import BrokerUnavailable
from shared.domain.job import Job
from shared.queue.names import QueueName

REFRESH_S = 1
"""Reload interval of the waiting page."""
SLOW_REFRESH_S = 5
"""The same while no worker runs."""
MINUTE_S = 60


def describe_wait(job: Job) -> dict[str, Any]:
    """Title, sentences and reload interval of the waiting page.

    Args:
        job: not ended.
    """
    if not _workers_run():
        return {
            "title": _("The workers are stopped"),
            "sentences": [
                _("Your request is stored. It is answered as soon as a worker runs again."),
                _("This page looks again every few seconds; you need not do anything."),
            ],
            "refresh_s": SLOW_REFRESH_S,
            "is_outage": True,
        }
    sentences = [_("The price is being calculated.")]
    position = services().jobs.queue_position(job)
    if position is not None and position.position > 0:
        sentences = [
            ngettext(
                "{number} request is before yours.",
                "{number} requests are before yours.",
                position.position,
            ).format(number=position.position)
        ]
        if position.eta_s is not None:
            sentences.append(_duration(position.eta_s))
    sentences.append(_("This page reloads by itself; you need not do anything."))
    return {
        "title": _("Your estimate is on its way"),
        "sentences": sentences,
        "refresh_s": REFRESH_S,
        "is_outage": False,
    }


def _workers_run() -> bool:
    """Whether a worker takes single cars; True if that is not known."""
    try:
        counts = services().health.workers.live_counts()
    except BrokerUnavailable:
        return True
    return counts.get(str(QueueName.INTERACTIVE), 0) > 0


def _duration(seconds: float) -> str:
    if seconds < MINUTE_S:
        number = max(1, round(seconds))
        text = ngettext("About {number} second.", "About {number} seconds.", number)
    else:
        number = round(seconds / MINUTE_S)
        text = ngettext("About {number} minute.", "About {number} minutes.", number)
    return text.format(number=number)
