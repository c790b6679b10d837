"""Decides the order in which the processes of the Procfile start and stop."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from honcho.environ import parse_procfile

from launcher.child import Child
from shared.heartbeat import heartbeat_environment
from shared.settings import Settings

TIERS = (
    ("broker", "cache", "flush"),
    ("interactive", "bulk"),
    ("api", "webhooks", "beat", "flower"),
)
"""Start order. The stop order is the reverse: workers need the broker to finish their tasks."""

WORKER_STOP_S, BROKER_STOP_S = 40.0, 10.0
API_KILL_MARGIN_S = 5.0
"""How much later than granian's own limit the API is killed."""


def tier_stop_timeouts_s(settings: Settings) -> tuple[float, ...]:
    """How long the stop of each tier may take: longer than Celery and granian let it take."""
    return (BROKER_STOP_S, WORKER_STOP_S, settings.api_stop_s + API_KILL_MARGIN_S)


TIER_STOP_TIMEOUTS_S = tier_stop_timeouts_s(Settings())
"""With the default settings."""


def read_procfile(procfile: Path) -> dict[str, str]:
    """The commands of the Procfile by kind of process."""
    return dict(parse_procfile(procfile.read_text(encoding="utf-8")).processes)


def make_tiers(
    procfile: Path,
    counts: Mapping[str, int],
    env: Mapping[str, str],
    heartbeats: Path | None = None,
    keep_open: Sequence[int] = (),
) -> list[list[Child]]:
    """A child for every process to run, by tier.

    Args:
        procfile: path of the Procfile.
        counts: number of processes of each kind, 1 if missing; several are numbered.
        env: the environment of all processes.
        heartbeats: folder of the files of heartbeats; None: there are none.
        keep_open: file descriptors that all processes inherit (locks).
    """
    commands = read_procfile(procfile)
    return [
        [
            Child(
                name=name,
                line=commands[kind],
                env={
                    **env,
                    "HONCHO_PROCESS_NAME": name,
                    **(heartbeat_environment(heartbeats / name) if heartbeats else {}),
                },
                cwd=procfile.parent,
                keep_open=keep_open,
            )
            for kind in tier
            for name in _names(kind, counts.get(kind, 1))
        ]
        for tier in TIERS
    ]


def _names(kind: str, count: int) -> list[str]:
    return [kind] if count == 1 else [f"{kind}.{number + 1}" for number in range(count)]
