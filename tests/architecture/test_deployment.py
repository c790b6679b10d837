"""Kubernetes manifests, compose with several APIs, and the image without the model's libraries."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from launcher.procfile import API_KILL_MARGIN_S, WORKER_STOP_S
from shared.settings import Settings
from tests.conftest import ROOT

BASE = ROOT / "deploy" / "kubernetes" / "base"
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text(encoding="utf-8"))
MANIFESTS: list[dict[str, Any]] = [
    document
    for name in KUSTOMIZATION["resources"]
    for document in yaml.safe_load_all((BASE / name).read_text(encoding="utf-8"))
]
KEDA = "keda.sh/v1alpha1"
KEDA_SCHEMA = json.loads(
    (BASE.parent / "schemas" / "scaledobject-keda-v1alpha1.json").read_text(encoding="utf-8")
)
DEPLOYMENTS = {each["metadata"]["name"]: each for each in MANIFESTS if each["kind"] == "Deployment"}
CONFIG = next(each["data"] for each in MANIFESTS if each["kind"] == "ConfigMap")
SETTING_NAMES = {field.metadata["env"] for field in dataclasses.fields(Settings)}
OF_LIBRARIES = {"AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
VERSIONS = ("1.31", "1.34")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
HAPROXY = ROOT / "deploy" / "haproxy" / "haproxy.cfg"


def title(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "manifest", [each for each in MANIFESTS if each["apiVersion"] != KEDA], ids=title
)
def test_a_manifest_is_valid_for_kubernetes(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize(
    "manifest", [each for each in MANIFESTS if each["apiVersion"] == KEDA], ids=title
)
def test_a_scaled_object_is_valid_and_scales_a_deployment(manifest: dict[str, Any]) -> None:
    jsonschema.validate(manifest, KEDA_SCHEMA)
    assert manifest["spec"]["scaleTargetRef"]["name"] in DEPLOYMENTS
    # Its autoscaler would fight against a number in the deployment.
    assert "replicas" not in DEPLOYMENTS[manifest["spec"]["scaleTargetRef"]["name"]]["spec"]


def test_an_unknown_member_of_a_manifest_is_noticed() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**DEPLOYMENTS["api"], "spek": {}}, VERSIONS[0], strict=True)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"apiVersion": KEDA, "kind": "ScaledObject"}, KEDA_SCHEMA)


def test_every_file_is_a_resource() -> None:
    files = {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_process_runs_unprivileged_with_probes(name: str) -> None:
    (container,) = pod(name)["containers"]
    assert container["args"] == ["run", name]
    assert pod(name)["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "livenessProbe" in container
    assert container["image"] in {image["name"] for image in KUSTOMIZATION["images"]}
    assert {"memory"} <= set(container["resources"]["limits"])


def test_the_processes_are_those_of_the_procfile() -> None:
    assert set(DEPLOYMENTS) == {"api", "interactive", "bulk", "webhooks", "beat"}
    light = {name for name in DEPLOYMENTS if pod(name)["containers"][0]["image"] == "carprice-api"}
    assert light == {"api", "webhooks"}


def test_a_pod_may_stop_as_long_as_its_process_takes() -> None:
    settings = Settings.from_env({"DRAIN_DELAY_S": CONFIG["DRAIN_DELAY_S"]})
    api_s = settings.api_stop_s + API_KILL_MARGIN_S
    assert pod("api")["terminationGracePeriodSeconds"] >= api_s
    for name in ("interactive", "bulk"):
        assert pod(name)["terminationGracePeriodSeconds"] >= WORKER_STOP_S
    # It is out of the endpoints before its connections are closed.
    probe = pod("api")["containers"][0]["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < settings.drain_delay_s


def test_only_the_api_is_asked_whether_it_is_ready() -> None:
    """A worker takes its work from the queue: nobody sends it requests."""
    probed = {n for n in DEPLOYMENTS if "readinessProbe" in pod(n)["containers"][0]}
    assert probed == {"api"}
    (container,) = pod("api")["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_every_variable_is_a_setting() -> None:
    given = set(CONFIG)
    for name in DEPLOYMENTS:
        given |= {each["name"] for each in pod(name)["containers"][0].get("env", [])}
    example = (BASE / "secrets.example.env").read_text(encoding="utf-8")
    given |= set(re.findall(r"^([A-Z_]+)=", example, flags=re.MULTILINE))
    assert given <= SETTING_NAMES | OF_LIBRARIES
    Settings.from_env({k: v for k, v in CONFIG.items() if k in SETTING_NAMES})


def test_budgets_and_policies_select_existing_pods() -> None:
    selected = [
        each["spec"].get("selector", each["spec"].get("podSelector"))["matchLabels"]
        for each in MANIFESTS
        if each["kind"] in {"PodDisruptionBudget", "NetworkPolicy"}
    ]
    names = {each.get("app.kubernetes.io/name") for each in selected} - {None}
    assert names == set(DEPLOYMENTS) - {"beat"}
    (labels,) = KUSTOMIZATION["labels"]
    assert labels["includeTemplates"] is True, "a policy selects pods by them"


def test_keda_follows_gauges_that_exist() -> None:
    metrics = (ROOT / "shared" / "metrics.py").read_text(encoding="utf-8")
    queries = [
        trigger["metadata"]["query"]
        for each in MANIFESTS
        if each["apiVersion"] == KEDA
        for trigger in each["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    ]
    used = {name for query in queries for name in re.findall(r"\(([a-z_]+)", query)}
    assert {"carprice_callers_waiting", "carprice_backlog_rows"} <= used
    assert [name for name in used if f'"{name}"' not in metrics] == []


# Compose


@pytest.mark.parametrize("name", ["api", "interactive", "bulk", "webhooks"])
def test_a_service_of_compose_can_have_replicas(name: str) -> None:
    assert not {"ports", "container_name", "hostname"} & set(COMPOSE[name])


def test_the_proxy_is_what_callers_reach() -> None:
    assert COMPOSE["proxy"]["ports"] == ["127.0.0.1:${PORT:-8000}:8000"]
    text = HAPROXY.read_text(encoding="utf-8")
    assert set(re.findall(r"server-template \w+ \d+ (\w+):8000", text)) == {"api"}
    (longest_s,) = {int(each) for each in re.findall(r"timeout (?:server|client) +(\d+)s", text)}
    assert longest_s > Settings().max_wait_s
    # A request that may have been accepted is not sent twice.
    assert "disable-l7-retry unless METH_GET" in text


def test_prometheus_finds_every_replica() -> None:
    config = yaml.safe_load(
        (ROOT / "monitoring" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    )
    found = {
        (name, entry["port"])
        for job in config["scrape_configs"]
        for entry in job.get("dns_sd_configs", [])
        for name in entry["names"]
    }
    workers = {(name, 9100) for name in ("interactive", "bulk", "webhooks", "beat")}
    assert found == {("api", 8000), *workers}


# The image of the API


def pins(name: str) -> set[str]:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return set(re.findall(r"^[\w.\[\]-]+==\S+", text, flags=re.MULTILINE))


def test_the_image_of_the_api_has_packages_of_the_other_image_only() -> None:
    assert pins("api.txt") < pins("runtime.txt")
    names = {pin.partition("==")[0] for pin in pins("api.txt")}
    heavy = {"numpy", "numba", "llvmlite", "pandas", "scikit-learn", "scipy", "pyarrow"}
    assert names & {*heavy, "matplotlib", "joblib"} == set()


IMPORTS = """
import importlib.metadata as metadata, sys
from importlib.machinery import PathFinder
allowed = set(sys.argv[1].split(","))
class Refusing(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        owners = {each.lower().replace("_", "-") for each in owners_of.get(name, ())}
        if not owners or owners & allowed:
            return super().find_spec(name, path, target)
owners_of = metadata.packages_distributions()
sys.meta_path[sys.meta_path.index(PathFinder)] = Refusing
import api.app, api.transport.fast_path, api.webhooks.main, api.pages.estimates.drawing
import cli.main, launcher.up, launcher.liveness.foreground, flower.command, s3fs
try:
    import numpy
except ModuleNotFoundError:
    print("without numpy")
"""


def test_the_api_runs_with_the_packages_of_its_image() -> None:
    own = {"carpricepredictor-ma", "setuptools"}
    names = {pin.partition("==")[0].partition("[")[0] for pin in pins("api.txt")} | own
    ran = subprocess.run(
        [sys.executable, "-c", IMPORTS, ",".join(sorted(names))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "without numpy\n"), ran.stderr


def test_slimming_keeps_the_languages_and_the_object_store(tmp_path: Path) -> None:
    kept = ["babel/locale-data/ar_MA.dat", "babel/locale-data/root.dat", "botocore/data/s3/a.json"]
    dropped = ["babel/locale-data/de.dat", "botocore/data/ec2/a.json", "zstandard/_cffi.x.so"]
    for name in (*kept, *dropped):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("0123456789")
    script = ROOT / "packaging" / "slim_packages.py"
    subprocess.run([sys.executable, script, tmp_path], check=True, capture_output=True)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == set(kept)
