"""Uploads a CSV, waits for its batch, downloads the results and counts the rows.

`python -m benchmarks.scenarios.bulk_client URL FILE` prints the time for all of it as JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx

WAIT_S = 20
FINISHED = {"SUCCEEDED", "FAILED", "CANCELLED"}
BLOCK_BYTES = 1 << 20


def price(client: httpx.Client, path: Path) -> int:
    """Upload a file, wait for its batch and download the results.

    Returns:
        The number of result rows.

    Raises:
        RuntimeError: the batch did not succeed.
    """
    with path.open("rb") as file:
        accepted = client.post("/batches", content=file, headers={"Content-Type": "text/csv"})
    batch: dict[str, Any] = accepted.raise_for_status().json()
    while batch["state"] not in FINISHED:
        batch = client.get(f"/batches/{batch['id']}", params={"wait": WAIT_S}).json()
    if batch["state"] != "SUCCEEDED":
        raise RuntimeError(f"the batch ended as {batch['state']}: {batch}")
    with client.stream("GET", f"/batches/{batch['id']}/results") as results:
        results.raise_for_status()
        lines = sum(block.count(b"\n") for block in results.iter_bytes(BLOCK_BYTES))
    return lines - 1


def main() -> None:
    """Time one batch and print the figures."""
    url, path = sys.argv[1], Path(sys.argv[2])
    with path.open("rb") as file:
        sent = sum(1 for _ in file) - 1
    started_at = time.perf_counter()
    # As curl does: over loopback compression only costs.
    with httpx.Client(base_url=url, timeout=60, headers={"Accept-Encoding": "identity"}) as client:
        rows = price(client, path)
    duration_s = time.perf_counter() - started_at
    if rows != sent:
        raise RuntimeError(f"{sent} rows were sent, {rows} came back")
    duration_ms = 1000 * duration_s
    latencies = dict.fromkeys(("p50_ms", "p90_ms", "p99_ms", "max_ms"), duration_ms)
    print(f"RESULT {json.dumps({'duration_s': duration_s, 'requests': rows, **latencies})}")


if __name__ == "__main__":
    main()
