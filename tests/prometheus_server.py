"""Debian's Prometheus with the configuration of a test."""

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from scripts.ports import reserve_port
from tests.conftest import stop, wait_until

READY_S = 120.0
"""Longest wait for its start."""


@contextlib.contextmanager
def running_prometheus(folder: Path, config: Mapping[str, Any]) -> Iterator[httpx.Client]:
    """A Prometheus without data, ready; it ends with the context.

    Args:
        folder: for its configuration and its data.
        config: its configuration, whose paths may be relative to `folder`.
    """
    (folder / "prometheus.yml").write_text(json.dumps(config))
    port = reserve_port()
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10.0) as client:
            wait_until(lambda: _is_ready(client), READY_S, "Prometheus is ready")
            yield client
    finally:
        stop(process)


def _is_ready(prometheus: httpx.Client) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return prometheus.get("/-/ready").is_success
    return False
