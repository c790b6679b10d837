"""Dashboards, alert rules and Alertmanager's configuration match the metrics and are valid."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from prometheus_client import REGISTRY

from scripts.write_dashboards import dashboards
from shared.metric_files import FOLDER_VARIABLE
from shared.metrics import ServiceSnapshot, SnapshotCollector
from shared.process_metrics import ProcessCollector

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
RULES = yaml.safe_load((MONITORING / "prometheus" / "rules.yml").read_text(encoding="utf-8"))
ALERTS: dict[str, Any] = {
    rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule
}
RECORDED: dict[str, str] = {
    rule["record"]: rule["expr"]
    for group in RULES["groups"]
    for rule in group["rules"]
    if "record" in rule
}
EXTERNAL_METRICS = re.compile(r"redis_\w+|flower_\w+|process_\w+|up")
NOT_METRICS = {
    # Functions, operators and labels of PromQL.
    *("sum", "rate", "increase", "deriv", "max", "min", "histogram_quantile", "vector"),
    *("by", "on", "or", "and", "unless", "offset", "absent", "time"),
}
REFERENCE_ALERTS = {
    *("APIDown", "HighErrorRate", "HighLatency", "RedisDown", "RedisHighMemoryUsage"),
    *("ModelNotLoaded", "LowCacheHitRate"),
}


def service_metrics() -> set[str]:
    """Return the names of all samples that the service can expose."""
    snapshot = ServiceSnapshot(
        model_version="v",
        model_trained_on="2026-01-01",
        cached_estimates=1,
        queue_messages={"q": 1},
        queue_oldest_age_s={"q": 1.0},
        workers={"q": 1},
        checks={("audit", True): True},
    )
    families = [
        *REGISTRY.collect(),
        *SnapshotCollector(snapshot).collect(),
        *ProcessCollector(str(ROOT)).collect(),
    ]
    names = set()
    for family in families:
        suffixes = {
            "counter": ("_total",),
            "histogram": ("_bucket", "_sum", "_count"),
        }.get(family.type, ("",))
        names |= {f"{family.name}{suffix}" for suffix in suffixes}
    return names


def metrics_in(query: str) -> set[str]:
    """Return the metric names of a PromQL expression."""
    for name, expression in RECORDED.items():
        query = query.replace(name, f"({expression})")
    bare = re.sub(r'"[^"]*"', "", query)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(r"offset \w+", "", bare)
    bare = re.sub(r"\b(by|on) \([^)]*\)", "", bare)
    return set(re.findall(r"[a-z_]\w*", bare)) - NOT_METRICS


def queries() -> Iterator[tuple[str, str]]:
    for name, alert in ALERTS.items():
        yield f"alert {name}", alert["expr"]
    for path, text in dashboards():
        for panel in json.loads(text)["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_every_query_uses_existing_metrics(where: str, query: str) -> None:
    names = metrics_in(query)
    assert names, where
    unknown = {name for name in names if not EXTERNAL_METRICS.fullmatch(name)} - service_metrics()
    assert unknown == set(), where


def test_what_an_alert_counts_exists_before_its_first_event() -> None:
    """`increase` of a series that begins at 1 is 0: the first event would raise no alert."""
    text = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import shared.metrics as m; print(m.generate_latest().decode())",
        ],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != FOLDER_VARIABLE},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    series = [line.rpartition(" ") for line in text.splitlines() if line and line[0] != "#"]
    zeros = {name for name, _, value in series if float(value) == 0}
    counted = {
        each
        for alert in ALERTS.values()
        for each in re.findall(r"increase\((\w+_total(?:\{[^}]*\})?)\[", alert["expr"])
    }
    assert len(counted) > 10
    absent = {
        each
        for each in counted
        if not any(name == each or name.startswith(f"{each}{{") for name in zeros)
    }
    # Series of a model version begin with its first event; their alerts need many.
    assert absent == {
        'outcome_inside_interval_total{inside="no"}',
        "outcome_inside_interval_total",
        'shadow_valuations_total{outcome="failure"}',
    }


def test_a_panel_shows_every_metric_of_an_alert() -> None:
    """Whoever is woken up by an alert looks for its course."""
    part = re.compile(r"_(bucket|sum|count)$")
    panels = [query for where, query in queries() if ": " in where]
    shown = {part.sub("", name) for query in panels for name in metrics_in(query)}
    without = {
        name: missing
        for name, alert in ALERTS.items()
        if (missing := {part.sub("", each) for each in metrics_in(alert["expr"])} - shown)
    }
    assert without == {}


def test_the_alerts_of_the_reference_project_exist() -> None:
    assert set(ALERTS) >= REFERENCE_ALERTS


def test_every_alert_has_a_severity_a_summary_and_a_description() -> None:
    for name, alert in ALERTS.items():
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}, name
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}, name


def test_every_alert_has_an_entry_in_the_runbook() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert [name for name in ALERTS if f"### {name}\n" not in runbook] == []


RULE_TESTS = ("rules_test.yml", "rules_hours_test.yml")


def test_every_alert_links_to_its_entry_in_the_runbook() -> None:
    for name, alert in ALERTS.items():
        link = f"docs/runbook.md#{name.lower()}"
        assert alert["annotations"]["runbook_url"] == link, name


def test_every_alert_is_tested() -> None:
    tests = [
        test
        for name in RULE_TESTS
        for test in yaml.safe_load((MONITORING / "prometheus" / name).read_text("utf-8"))["tests"]
    ]
    firing = {
        case["alertname"]
        for test in tests
        for case in test.get("alert_rule_test", ())
        if case.get("exp_alerts")
    }
    assert firing == set(ALERTS)


def test_the_dashboards_are_generated_from_their_definition() -> None:
    written = dict(dashboards())
    folder = MONITORING / "grafana" / "dashboards"
    assert set(folder.glob("*.json")) == set(written)
    for path, text in written.items():
        assert path.read_text(encoding="utf-8") == text, "make dashboards"


def test_a_panel_that_needs_more_than_a_running_service_says_so() -> None:
    """Of an exporter that may be absent, or of sales, shadows, limits and other rare events."""
    rare = re.compile(r"\b(redis_|flower_|shadow_|outcomes?_|sales_|drift_|key_|webhook_attempts)")
    described = 0
    for path, text in dashboards():
        for panel in json.loads(text)["panels"]:
            described += bool(panel["description"])
            if any(rare.search(target["expr"]) for target in panel["targets"]):
                assert panel["description"], f"{path.stem}: {panel['title']}"
    assert described > 25


def test_dashboards_use_the_provisioned_datasource() -> None:
    folder = MONITORING / "grafana" / "provisioning" / "datasources"
    provisioned = [
        source
        for path in folder.glob("*.yml")
        for source in yaml.safe_load(path.read_text(encoding="utf-8"))["datasources"]
    ]
    assert {source["type"] for source in provisioned} == {"prometheus", "redis-datasource"}
    uids = {source["uid"] for source in provisioned}
    for _, text in dashboards():
        for panel in json.loads(text)["panels"]:
            assert panel["datasource"]["uid"] in uids


REDIS_PLUGIN_OPTIONS = {
    *("client", "poolSize", "timeout", "pingInterval", "pipelineWindow", "acl", "user"),
    *("cliDisabled", "sentinelName", "sentinelAcl", "sentinelUser", "tlsAuth", "tlsSkipVerify"),
}
"""What the data source reads of `jsonData`; it ignores names that it does not know."""
REDIS_PLUGIN_SECRETS = {
    *("password", "sentinelPassword", "tlsCACert", "tlsClientCert", "tlsClientKey"),
}
"""What it reads of `secureJsonData`."""
GRAFANA_FIELDS = {
    *("name", "type", "uid", "url", "access", "isDefault", "editable", "orgId", "version"),
    *("jsonData", "secureJsonData"),
}


def test_the_redis_data_sources_have_the_fields_that_the_plug_in_reads() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    environment = compose["grafana"]["environment"]
    path = MONITORING / "grafana" / "provisioning" / "datasources" / "redis.yml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert document["apiVersion"] == 1
    servers = set()
    for source in document["datasources"]:
        assert set(source) <= GRAFANA_FIELDS
        assert (source["type"], source["access"]) == ("redis-datasource", "proxy")
        address = urlsplit(source["url"])
        assert (address.scheme, address.port) == ("redis", 6379)
        servers.add(address.hostname)
        options, secrets = source["jsonData"], source["secureJsonData"]
        assert set(options) <= REDIS_PLUGIN_OPTIONS
        assert set(secrets) <= REDIS_PLUGIN_SECRETS
        # Without `acl`, the plug-in would send the password for the default user.
        assert (options["client"], options["acl"]) == ("standalone", True)
        command = str(compose[address.hostname]["command"])
        entry = re.search(rf"user {options['user']} on >\$\$(\w+) (.*)", command)
        assert entry is not None, "the server has this user"
        assert secrets["password"] == f"${entry[1]}"
        assert entry[1] in environment
        assert {"+@connection", "+info"} <= set(entry[2].split())  # PING is the health check
        assert "+@all" not in entry[2]
    assert servers == {"broker", "cache"}
    assert "redis-datasource" in environment["GF_INSTALL_PLUGINS"]
    assert "outside" in compose["grafana"]["networks"], "it loads the plug-in from there"


def test_prometheus_scrapes_every_service_of_compose_that_has_metrics() -> None:
    text = (MONITORING / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    workers = {
        name
        for name, service in compose["services"].items()
        if "METRICS_PORT" in (service.get("environment") or {})
    }
    scraped = {"api", "proxy", "flower", "broker-exporter", "cache-exporter", *workers}
    assert [name for name in scraped if not re.search(rf"\b{name}\b", text)] == []
    assert scraped <= set(compose["services"])


@pytest.mark.prometheus
def test_promtool_accepts_configuration_and_rules() -> None:
    for arguments in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "rules.yml"],
        ["test", "rules", *RULE_TESTS],
    ):
        answer = subprocess.run(
            ["promtool", *arguments],
            cwd=MONITORING / "prometheus",
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr


RECEIVERS = {
    "nobody": {},
    "Slack": {"SLACK_WEBHOOK_URL": "https://hooks.example/services/T/B/x"},
    "mail": {
        "ALERT_EMAIL_TO": "ops@example.org",
        "ALERT_EMAIL_FROM": "carprice@example.org",
        "SMTP_SMARTHOST": "mail.example.org:587",
        "SMTP_PASSWORD": "it's: a #secret",
    },
    "mail without TLS": {
        "ALERT_EMAIL_TO": "ops@example.org",
        "ALERT_EMAIL_FROM": "carprice@example.org",
        "SMTP_SMARTHOST": "localhost:25",
        "SMTP_USERNAME": "carprice",
        "SMTP_PASSWORD_FILE": "/run/secrets/smtp",
        "SMTP_REQUIRE_TLS": "false",
    },
}


def configuration(env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", str(MONITORING / "alertmanager" / "start.sh"), "--print"],
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("receiver", RECEIVERS)
def test_the_receivers_follow_the_environment(receiver: str) -> None:
    config = yaml.safe_load(configuration(RECEIVERS[receiver]).stdout)
    (people,) = config["receivers"]
    assert ("slack_configs" in people) == (receiver == "Slack")
    mail = people.get("email_configs")
    assert (mail is not None) == receiver.startswith("mail")
    if receiver == "mail":
        assert mail[0]["auth_password"] == "it's: a #secret"
        assert mail[0]["require_tls"] is True
    elif mail is not None:
        assert mail[0]["require_tls"] is False
        assert mail[0]["auth_password_file"] == "/run/secrets/smtp"
        assert "auth_password" not in mail[0]


def test_mail_without_a_server_is_refused_and_names_the_missing_variable() -> None:
    answer = configuration({"ALERT_EMAIL_TO": "a@b.c", "ALERT_EMAIL_FROM": "a@b.c"})
    assert answer.returncode == 2
    assert "SMTP_SMARTHOST is needed" in answer.stderr


def test_whether_mail_requires_tls_is_true_or_false() -> None:
    answer = configuration({**RECEIVERS["mail"], "SMTP_REQUIRE_TLS": "maybe"})
    assert answer.returncode == 2
    assert "SMTP_REQUIRE_TLS must be true or false" in answer.stderr


@pytest.mark.prometheus
@pytest.mark.parametrize("receiver", RECEIVERS)
def test_amtool_accepts_every_configuration(receiver: str, tmp_path: Path) -> None:
    path = tmp_path / "alertmanager.yml"
    path.write_text(configuration(RECEIVERS[receiver]).stdout)
    subprocess.run(["amtool", "check-config", str(path)], check=True, capture_output=True)


def test_inhibitions_and_routes_use_existing_alerts() -> None:
    named = set(
        re.findall(r'alertname =~? "([^"]+)"', configuration({}).stdout),
    )
    assert {name for group in named for name in group.split("|")} <= set(ALERTS)
