"""The real HAProxy accepts the configuration of the proxy."""

import subprocess

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.haproxy


def test_haproxy_accepts_its_configuration() -> None:
    checked = subprocess.run(
        ["haproxy", "-c", "-f", str(ROOT / "deploy" / "haproxy" / "haproxy.cfg")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr
