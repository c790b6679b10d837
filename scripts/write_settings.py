"""Writes docs/settings.md from the fields of `shared.settings.Settings`: `make settings`."""

import dataclasses
from pathlib import Path

from shared.settings import Settings

TARGET = Path(__file__).parents[1] / "docs" / "settings.md"

OTHER_VARIABLES = {
    "PYTHON": "Interpreter from which `make` creates `.venv`; default: `python3`.",
    "PROMETHEUS_MULTIPROC_DIR": "Folder of metrics files; default: a private folder in `/dev/shm`.",
    "NUMBA_CACHE_DIR": "Folder of compiled kernels; default: `numba` in the home.",
    "KERNEL_SEED": "Folder of compiled kernels that an image brings; copied if they fit.",
    "AWS_ACCESS_KEY_ID": "Credentials for the stores of `BLOB_URL` and `STATE_URL`; the other "
    "credential sources of AWS's libraries (files, roles) work too.",
    "AWS_SECRET_ACCESS_KEY": "Secret of that key.",
    "AWS_DEFAULT_REGION": "Region of the store.",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "Collector of traces, like `http://127.0.0.1:4318`; empty: no "
    "tracing. Further variables of OpenTelemetry: [tracing](tracing.md).",
    "OTEL_EXPORTER_OTLP_HEADERS": "Headers of these requests, `name=value,…`, for example a key.",
    "OTEL_SERVICE_NAME": "Name of all processes in traces; default: `carprice-api`, `-worker`, …",
    "OTEL_TRACES_SAMPLER": "Which traces are kept; default: all, and as the caller decided.",
    "OTEL_TRACES_SAMPLER_ARG": "Share that the sampler `traceidratio` keeps, 0 to 1.",
    "CARPRICE_LISTINGS": "Files of real listings for the tests marked `listings`, joined by `:`.",
    "CARPRICE_NEW_PRICES": "File of prices of new cars for the same tests.",
    "CARPRICE_SHARED": "Folder with the awkward inputs of `tests/exports`; default: `../shared`.",
    "CHROMIUM": "Browser for the tests marked `browser`; default: found on the PATH.",
}
"""Variables that are no settings of this service: of `make`, libraries, tests, OpenTelemetry."""

COMPOSE_VARIABLES = {
    "REDIS_PASSWORD": "Password of the broker. Required.",
    "CACHE_PASSWORD": "Password of the cache. Required.",
    "EXPORTER_PASSWORD": "Password of the Redis exporters, which only read statistics. Required.",
    "GRAFANA_ADMIN_PASSWORD": "Password of Grafana's user `admin`. Required.",
    "CARPRICE_TAG": "Tag of the image.",
    "GRAFANA_PORT": "Port of Grafana on this machine; default: 3000.",
    "SLACK_WEBHOOK_URL": "Slack webhook that receives alerts; empty: none.",
    "SLACK_CHANNEL": "Slack channel of the alerts; default: `#alerts`.",
    "ALERT_EMAIL_TO": "Recipient of alerts by mail; empty: none.",
    "ALERT_EMAIL_FROM": "Sender of these mails.",
    "SMTP_SMARTHOST": "Mail server, `host:port`.",
    "SMTP_USERNAME": "User of the mail server.",
    "SMTP_PASSWORD": "Password of the mail server.",
    "SMTP_PASSWORD_FILE": "File with that password, read for each mail; takes the place of it.",
    "SMTP_REQUIRE_TLS": "`false`: the mail server offers no STARTTLS; default: `true`.",
    "GRAFANA_PLUGINS": "Plugins that Grafana loads; default: `redis-datasource`.",
}
"""Variables of docker-compose.yml, in addition to the settings."""

HEAD = """# Settings

Every setting is an environment variable; an empty one counts as not set. `make settings` generates
this page from `shared/settings.py`, and a test checks that both agree.

| variable | default | meaning |
|---|---|---|
"""


def page() -> str:
    """Return the text of `docs/settings.md`."""
    return "".join(
        [
            HEAD,
            *(_row(field) for field in dataclasses.fields(Settings)),
            "\n## Other variables\n\n",
            _table(OTHER_VARIABLES),
            "\n## Only in docker-compose.yml\n\n`make env` writes the required ones to `.env`. ",
            "`make observe` sends alerts to the same receivers.\n\n",
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
