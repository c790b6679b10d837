"""The command of the image of the whole service, run without privileges in its environment."""

import json
import os
import re
import shutil
from pathlib import Path

import psutil
import pytest

from tests.conftest import REFERENCE_CAR, ROOT, running_service, short_folder

pytestmark = pytest.mark.integration

STAGES = {
    stage.partition("\n")[0].rpartition(" ")[2]: stage.replace("\\\n", " ")
    for stage in re.split(r"^FROM ", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
}
IMAGE = STAGES["base"] + STAGES["service"] + STAGES["all"]
OF_THIS_MACHINE = {
    *("PATH", "PYTHONPATH", "CARPRICE_HOME", "MODELS_PATH", "NUMBA_CACHE_DIR", "KERNEL_SEED"),
    *("PROMETHEUS_MULTIPROC_DIR", "PORT"),
}
"""Variables whose values are places in the image, and the port."""
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")


def environment():
    """The environment of the image, without places that this machine lacks."""
    found = dict(
        pair for line in re.findall(r"^ENV (.+)$", IMAGE, re.MULTILINE) for pair in _pairs(line)
    )
    return {name: value for name, value in found.items() if name not in OF_THIS_MACHINE}


def _pairs(line):
    return [tuple(part.split("=", 1)) for part in line.split()]


def test_the_image_ends_with_the_command_of_the_whole_service():
    assert json.loads(re.findall(r"^ENTRYPOINT (.+)$", IMAGE, re.MULTILINE)[-1]) == [
        *("python", "-m", "cli.main"),
    ]
    assert json.loads(re.findall(r"^CMD (.+)$", IMAGE, re.MULTILINE)[-1]) == ["up"]
    assert re.findall(r"^EXPOSE (.+)$", IMAGE, re.MULTILINE)[-1] == "7860"
    assert "PORT=7860" in STAGES["all"]
    assert "app_port: 7860" in (ROOT / "deploy" / "space" / "README.md").read_text("utf-8")


def test_it_serves_visitors_without_privileges_and_ends_when_told(models_path):
    prefix = UNPRIVILEGED if os.geteuid() == 0 else ()
    with short_folder() as home:
        models = home / "models"
        shutil.copytree(models_path, models)
        with running_service(home, models, prefix=prefix, **environment()) as service:
            for process in (main := psutil.Process(service.process.pid)).children(recursive=True):
                assert capabilities(process.pid) == 0, process
            assert capabilities(main.pid) == 0
            with service.client() as client:
                priced = client.post("/predict", json=REFERENCE_CAR)
                assert priced.status_code == 200
                assert priced.json()["price_mad"] > 0
                shown = client.post(
                    "/", data={"company": "Dacia", "model": "Logan", "year": "2018"}
                )
                assert shown.status_code == 303
                assert "Dacia" in client.get(shown.headers["Location"]).text
                refused = client.post("/batches", files={"file": ("a.csv", b"x")})
                assert refused.status_code == 403
        assert service.process.returncode == 0


def capabilities(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"^CapEff:\s*(\w+)$", status, re.MULTILINE)[0], 16)
