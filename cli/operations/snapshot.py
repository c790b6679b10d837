"""The snapshot of the dashboard for `carprice status`, as text."""

import os
import time
from collections.abc import Iterator

from launcher.environment import metrics_folder
from model_store.registry.hosts import open_registry
from model_store.registry.registry import ShadowPointer
from shared.domain.errors import DomainError
from shared.i18n.command import gettext as _
from shared.i18n.command import language, ngettext
from shared.i18n.numbers import COMMA, group
from shared.operations.alerts import Alerts, AlertSource, read_alerts
from shared.operations.snapshot import BacklogState, Snapshot, SnapshotReader
from shared.operations.traffic import Traffic
from shared.redis.cache import EstimateCache
from shared.redis.connections import CACHE_TIMEOUT_S, connect
from shared.settings import Settings

MEASURED_S = 1.0
"""Traffic is measured for this long."""

MILLISECONDS = 1000
NAME_WIDTH = 12


class SnapshotSampler:
    """Reads a snapshot whose traffic is that since the sampler was made.

    Args:
        settings: with the addresses of both servers and absolute paths.
    """

    def __init__(self, settings: Settings) -> None:
        self._broker = connect(settings.redis_url)
        cache = connect(settings.cache_url, reply_timeout_s=CACHE_TIMEOUT_S)
        metrics = metrics_folder(settings, os.environ)
        self._reader = SnapshotReader(
            self._broker,
            time.time,
            settings,
            metrics=metrics if metrics.is_dir() else None,
            cache_stats=EstimateCache(cache, settings.cache_ttl_s, time.time).stats,
            registry=open_registry(settings),
            shadow=ShadowPointer(settings.versions_path),
            alerts=lambda: read_alerts(settings.alerts_url),
        )
        self._reader.sample()
        self._since = time.monotonic()

    def read(self) -> Snapshot | None:
        """The snapshot, when traffic was measured for a second; None if it cannot be read."""
        time.sleep(max(0.0, MEASURED_S - (time.monotonic() - self._since)))
        try:
            return self._reader.read()
        except DomainError:
            return None
        finally:
            self._broker.close()


def snapshot_lines(found: Snapshot) -> Iterator[str]:
    """What `carprice status` tells of a snapshot besides queues and model."""
    if found.traffic is not None:
        yield _line("traffic", _traffic(found.traffic))
    if found.backlog is not None:
        yield _line("backlog", _backlog(found.backlog))
    for worker in found.workers or ():
        if not worker.is_alive:
            text = _("{node} was last seen {seconds} s ago")
            yield _line("worker", text.format(node=worker.node, seconds=f"{worker.seen_s:.0f}"))
        for work in worker.work:
            text = _("{node} works on {id} for {seconds} s")
            members = {"node": worker.node, "id": work.message, "seconds": f"{work.for_s:.0f}"}
            yield _line("worker", text.format(**members))
    for version in found.models:
        if version.shadow_share is not None:
            share = group(100 * version.shadow_share, 0, language())
            text = _("{version} on {share} % of the cars")
            yield _line("shadow", text.format(version=version.version, share=share))
    if found.drift is not None and found.drift.psi:
        field, psi = max(found.drift.psi.items(), key=lambda one: one[1])
        text = _("PSI {psi} of {field}, the largest")
        yield _line("drift", text.format(psi=group(psi, 2, language()), field=field))
    yield from _alerts(found.alerts)


def _line(name: str, text: str) -> str:
    return f"{name:<{NAME_WIDTH}} {text}"


def _traffic(found: Traffic) -> str:
    """One sentence about a second of traffic."""
    parts = [_("{number} requests/s").format(number=group(found.requests_per_s, 1, language()))]
    if found.p95_s is not None:
        text = _("95 % of single cars within {number} ms")
        parts.append(text.format(number=group(found.p95_s * MILLISECONDS, 1, language())))
    if found.cache_hit_ratio is not None:
        text = _("{share} % from the cache")
        parts.append(text.format(share=group(100 * found.cache_hit_ratio, 0, language())))
    return COMMA[language()].join(parts)


def _backlog(found: BacklogState) -> str:
    parts = [
        ngettext("{number} open job", "{number} open jobs", found.open_jobs).format(
            number=found.open_jobs
        ),
        ngettext("{number} open file", "{number} open files", found.open_batches).format(
            number=found.open_batches
        ),
        _("{number} given up").format(number=found.dead_letters),
    ]
    return COMMA[language()].join(parts)


def _alerts(found: Alerts) -> Iterator[str]:
    if found.source is AlertSource.SILENT:
        yield _line("alerts", _("ALERTS_URL does not answer: {reason}").format(reason=found.reason))
    for alert in found.firing:
        yield _line("alert", f"{alert.name} {alert.summary}".rstrip())
