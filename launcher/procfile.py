"""Decides the order in which the processes of the Procfile start and stop."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from honcho.environ import parse_procfile

from launcher.child import Child
from shared.heartbeat import heartbeat_environment

TIERS = (
    ("broker", "cache", "flush"),
    ("interactive", "bulk"),
    ("api", "webhooks", "beat", "flower"),
)
"""Start order. The stop order is the reverse: workers need the broker to finish their tasks."""

TIER_STOP_TIMEOUTS_S = (10.0, 40.0, 20.0)
"""Longer than the shutdown times in the settings of Celery and granian."""


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
