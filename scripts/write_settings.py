"""Writes docs/settings.md from the fields of `shared.settings.Settings`: `make settings`."""

import dataclasses
from pathlib import Path

from shared.settings import Settings

TARGET = Path(__file__).parents[1] / "docs" / "settings.md"

OTHER_VARIABLES = {
    "PYTHON": "Interpreter that `make` builds `.venv` with; `python3` by default.",
    "PROMETHEUS_MULTIPROC_DIR": "Folder of the processes' metrics; `metrics` in the home.",
    "NUMBA_CACHE_DIR": "Folder of compiled code; `numba` in the home.",
    "AWS_ACCESS_KEY_ID": "Credentials of the store that `BLOB_URL` names; other sources of AWS's "
    "libraries (files, roles) work too.",
    "AWS_SECRET_ACCESS_KEY": "Its secret.",
    "AWS_DEFAULT_REGION": "Its region.",
    "CARPRICE_LISTINGS": "File of real listings for the tests marked `listings`.",
    "CHROMIUM": "Browser for the tests marked `browser`; found on the PATH by default.",
}
"""Read by `make`, by libraries or by the tests, not by the service."""

COMPOSE_VARIABLES = {
    "REDIS_PASSWORD": "Password of the broker. Required.",
    "CACHE_PASSWORD": "Password of the cache. Required.",
    "EXPORTER_PASSWORD": "Password of the exporters, which may only read statistics. Required.",
    "GRAFANA_ADMIN_PASSWORD": "Password of Grafana's user `admin`. Required.",
    "CARPRICE_TAG": "Tag of the image.",
    "PROMETHEUS_PORT": "Port of Prometheus on this machine; 9090.",
    "ALERTMANAGER_PORT": "Port of Alertmanager on this machine; 9093.",
    "GRAFANA_PORT": "Port of Grafana on this machine; 3000.",
    "SLACK_WEBHOOK_URL": "Where alerts go in Slack; empty: nowhere.",
    "SLACK_CHANNEL": "Channel of the alerts; `#alerts`.",
    "ALERT_EMAIL_TO": "Who gets alerts by mail; empty: nobody.",
    "ALERT_EMAIL_FROM": "Sender of these mails.",
    "SMTP_SMARTHOST": "Mail server, `host:port`.",
    "SMTP_USERNAME": "User of the mail server.",
    "SMTP_PASSWORD": "Password of the mail server.",
}
"""Read by docker-compose.yml, on top of the settings above."""

HEAD = """# Settings

Every setting is an environment variable; an empty one counts as not set. This page is written by
`make settings`, and a test holds it to the code.

| variable | default | meaning |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return "".join(
        [
            HEAD,
            *(_row(field) for field in dataclasses.fields(Settings)),
            "\n## Around the service\n\n",
            _table(OTHER_VARIABLES),
            "\n## Only in docker-compose.yml\n\n`make env` writes the required ones to `.env`.\n\n",
            _table(COMPOSE_VARIABLES),
        ]
    )


def _row(field: "dataclasses.Field[object]") -> str:
    unit = f" {field.metadata['unit']}" if field.metadata["unit"] else ""
    default = "" if field.default in {None, ""} else f"`{field.default}`{unit}"
    return f"| `{field.metadata['env']}` | {default} | {field.metadata['meaning']} |\n"


def _table(variables: dict[str, str]) -> str:
    rows = "".join(f"| `{name}` | {meaning} |\n" for name, meaning in variables.items())
    return f"| variable | meaning |\n|---|---|\n{rows}"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
