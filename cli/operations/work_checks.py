"""Checks of what runs and what waits: the API, workers, queues, work that was given up, alerts."""

import time
from collections.abc import Iterator

from cli.operations.findings import Finding, Installation, fault, warning
from launcher.readiness import api_state, forbidden, local_address
from shared.i18n.command import gettext as _
from shared.i18n.command import ngettext
from shared.operations.alerts import AlertSource, read_alerts
from shared.operations.processes import ProcessReader
from shared.redis.dead_letters import DeadLetters
from shared.redis.webhooks.store import WebhookStore
from shared.redis.workers import PROTOCOL, WorkerRegistry

OLD_S = 300.0
"""Work that has waited for longer is reported."""


def check_api(found: Installation) -> Iterator[Finding]:
    """The API of this host answers and is ready."""
    address = local_address(found.settings.host, found.settings.port)
    is_ready, reason = api_state(address)
    if is_ready and found.broker_error not in {None, forbidden()}:
        yield fault(other_service(address), f"curl http://{address}/readyz")
    elif not is_ready:
        text = _("the API is not ready: {reason}").format(reason=reason)
        yield fault(text, "carprice up")


def other_service(address: str) -> str:
    """What is said of an API that is ready, while the broker of this environment is away."""
    text = _(
        "the API at {address} is that of another service: give PORT, CARPRICE_HOME and REDIS_URL"
        " the values that it has, or PORT another one"
    )
    return text.format(address=f"http://{address}")


def check_workers(found: Installation) -> Iterator[Finding]:
    """Every queue has a live worker, and all are of one release."""
    counts = WorkerRegistry(found.broker, time.time).live_counts()
    for queue in (queue for queue, count in counts.items() if not count):
        text = _("no worker serves the queue {queue}").format(queue=queue)
        yield fault(text, "carprice up")
    for worker in ProcessReader(found.broker, time.time).workers():
        if not worker.is_alive:
            text = _("{node} was last seen {seconds} s ago")
            members = {"node": worker.node, "seconds": f"{worker.seen_s:.0f}"}
            yield warning(text.format(**members), "carprice status")
        elif worker.protocol != PROTOCOL:
            text = _("{node} is of another release than this command")
            yield fault(text.format(node=worker.node), "carprice up")


def check_queues(found: Installation) -> Iterator[Finding]:
    """Nothing waits for long."""
    _lengths, ages = WorkerRegistry(found.broker, time.time).waiting()
    for queue, age_s in ages.items():
        if age_s > OLD_S:
            text = _("in the queue {queue} something waits for {seconds} s")
            yield warning(text.format(queue=queue, seconds=f"{age_s:.0f}"), "carprice status")


def check_given_up(found: Installation) -> Iterator[Finding]:
    """Nothing was given up."""
    letters = DeadLetters(found.broker, time.time).count()
    if letters:
        text = ngettext("{number} work was given up", "{number} works were given up", letters)
        yield warning(text.format(number=letters), "carprice dead list")
    store = WebhookStore(found.broker, time.time, retry_s=found.settings.webhook_retry_s)
    webhooks = int(store.figures().failed)
    if webhooks:
        text = ngettext(
            "{number} webhook was given up", "{number} webhooks were given up", webhooks
        )
        yield warning(text.format(number=webhooks), "carprice webhooks list")


def check_alerts(found: Installation) -> Iterator[Finding]:
    """No alert fires, if ALERTS_URL names who knows."""
    alerts = read_alerts(found.settings.alerts_url)
    if alerts.source is AlertSource.SILENT:
        text = _("ALERTS_URL does not answer: {reason}").format(reason=alerts.reason)
        yield warning(text, f"curl {found.settings.alerts_url}")
    for alert in alerts.firing:
        text = _("the alert {name} fires: {summary}")
        yield warning(text.format(name=alert.name, summary=alert.summary), "docs/runbook.md")


def unreadable(reason: str) -> Finding:
    """The finding of a check that could not read what it looks at."""
    return fault(_("this could not be checked: {reason}").format(reason=reason))
