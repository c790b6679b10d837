"""Configuration of Prometheus and Alertmanager beside `make up`, from the settings."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launcher.environment import CODE_ROOT
from launcher.ports import LOCAL
from launcher.preflight import CannotStartError
from launcher.readiness import local_address
from shared.i18n.command import gettext as _
from shared.i18n.command import os_reason
from shared.settings import Settings

MONITORING = CODE_ROOT / "monitoring"


def prometheus_configuration(settings: Settings, exporters: Mapping[str, str]) -> str:
    """The configuration of Prometheus.

    Args:
        settings: with the ports of the service.
        exporters: addresses of the Redis exporters by the name of their server.

    Raises:
        CannotStartError: the file with the key of the API cannot be read.
    """
    jobs: dict[str, list[dict[str, Any]]] = {
        "carprice-api": [{"targets": [local_address(settings.host, settings.port)]}],
        "flower": [{"targets": [local_address(settings.flower_address, settings.flower_port)]}],
        "redis": [
            {"targets": [address], "labels": {"server": server}}
            for server, address in exporters.items()
        ],
    }
    interval = f"{settings.scrape_interval_s}s"
    key_file = settings.metrics_key_file
    secret = {"authorization": {"credentials_file": _readable(key_file)}} if key_file else {}
    config = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": f"{min(settings.scrape_interval_s, 10)}s",
            "evaluation_interval": interval,
        },
        "rule_files": [str(MONITORING / "prometheus" / "rules.yml")],
        "alerting": {
            "alertmanagers": [
                {"static_configs": [{"targets": [f"{LOCAL}:{settings.alertmanager_port}"]}]}
            ]
        },
        "scrape_configs": [
            {
                "job_name": name,
                "static_configs": targets,
                **(secret if name == "carprice-api" else {}),
            }
            for name, targets in jobs.items()
            if targets
        ],
    }
    return json.dumps(config, indent=2)  # which is YAML, too


def _readable(key_file: Path) -> str:
    """The path; Prometheus itself would tell only why the API seems to be down."""
    try:
        key_file.read_bytes()
    except OSError as error:
        raise CannotStartError(
            _("{document}: cannot be read ({reason})").format(
                document=f"METRICS_KEY_FILE={key_file}", reason=os_reason(error)
            )
        ) from None
    return str(key_file.absolute())


def alertmanager_configuration(environment: Mapping[str, str]) -> str:
    """The configuration of Alertmanager, as that of the containers.

    Args:
        environment: has the receivers (docs/settings.md).

    Raises:
        CannotStartError: a variable of a receiver is missing.
    """
    answer = subprocess.run(
        ["/bin/sh", str(MONITORING / "alertmanager" / "start.sh"), "--print"],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise CannotStartError(answer.stderr.strip())
    return answer.stdout


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read: it may hold passwords.

    Raises:
        CannotStartError: the disk does not take it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(handle, 0o600)  # of a file that was there before
            file.write(text)
    except OSError as error:
        raise CannotStartError(
            _("{path} cannot be written ({reason})").format(path=path, reason=os_reason(error))
        ) from None
