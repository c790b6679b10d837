"""A batch with its blobs in a bucket: real API and worker processes, a real S3 server."""

import csv
import io
from pathlib import Path

import httpx
import pytest

from tests.batch_parts import BAD_ROW, cars_csv
from tests.conftest import running_service, short_folder, wait_until
from tests.object_store import BUCKET, running_object_store

pytestmark = [pytest.mark.integration, pytest.mark.timeout(200)]
ROWS = 12_000


def test_a_batch_runs_from_upload_to_download_in_a_bucket(models_path: Path) -> None:
    with running_object_store() as store, short_folder() as home:
        blobs = {"BLOB_URL": f"s3://{BUCKET}/batches", "BLOB_ENDPOINT_URL": store.endpoint_url}
        with (
            running_service(home, models_path, BATCH_CHUNK_ROWS="5000", **blobs) as service,
            service.client() as client,
        ):
            answer = client.post(
                "/batches", content=cars_csv(ROWS), headers={"Content-Type": "text/csv"}
            )
            assert answer.status_code == 202, answer.text
            url = f"/batches/{answer.json()['id']}"
            wait_until(lambda: client.get(url).json()["state"] == "SUCCEEDED", 120.0, "the end")

            results = client.get(f"{url}/results")
            refs = [row["ref"] for row in csv.DictReader(io.StringIO(results.text))]
            assert refs == [f"R{number}" for number in range(1, ROWS + 1)]
            part = client.get(f"{url}/results", headers={"Range": "bytes=1000-1999"})
            assert (part.status_code, part.content) == (206, results.content[1000:2000])

            moved = client.get(f"{url}/results", params={"redirect": "true"})
            assert (moved.status_code, moved.content) == (307, b"")
            assert moved.headers["Carprice-Results"] == "complete"
            address = moved.headers["Location"]
            assert address.startswith(store.endpoint_url)
            stored = httpx.get(address)  # without the key of the service
            assert (stored.status_code, stored.content) == (200, results.content)
            for name in ("Content-Type", "Content-Disposition"):
                assert stored.headers[name] == results.headers[name].removesuffix("; charset=utf-8")

            left = {key.rpartition("/")[2] for key in store.stored()}
            assert left == {
                "manifest.json", "final.json", "results.csv", "errors.ndjson", "rejected.csv",
                "lines",
            }, "chunks, parts and the source are removed"  # fmt: skip
            assert store.unfinished() == []
            assert not (home / "batches").exists()

            store.server.stop()
            refused = client.post(
                "/batches", content=BAD_ROW.encode(), headers={"Content-Type": "text/csv"}
            )
            assert refused.status_code in {422, 503}
            unavailable = client.post(
                "/batches", content=cars_csv(3), headers={"Content-Type": "text/csv"}
            )
            assert (unavailable.status_code, "storage-unavailable" in unavailable.text) == (
                503, True,
            )  # fmt: skip
