"""Downloads of result files from the object store, by addresses that hold for some time."""

import dataclasses
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, Response

from api.batches.result_views import stored_response
from api.http.context import EXTENSION
from shared.blobs.s3 import S3BlobStore
from shared.domain.batch import Batch, ExportFormat, ResultTable
from shared.domain.files.exports import STORED, Export
from shared.domain.ids import new_id
from tests.batch_parts import BulkPath, cars_csv
from tests.conftest import Servers
from tests.object_store import BUCKET, ObjectStore, running_object_store


@pytest.fixture(scope="module")
def object_store() -> Iterator[ObjectStore]:
    with running_object_store() as store:
        yield store


@pytest.fixture
def path(servers: Servers, tmp_path: Path, object_store: ObjectStore) -> BulkPath:
    blobs = S3BlobStore(f"s3://{BUCKET}/{new_id()}", object_store.endpoint_url)
    made = BulkPath(tmp_path, servers.broker, blobs=blobs)
    made.results = dataclasses.replace(made.results, url_s=300)
    return made


def asked(
    path: BulkPath,
    batch: Batch,
    export: Export = STORED,
    *,
    table: ResultTable = ResultTable.RESULTS,
    method: str = "GET",
    redirects: bool = True,
    headers: dict[str, str] | None = None,
) -> Response:
    """The response to a request for a table."""
    app = Flask(__name__)
    app.extensions[EXTENSION] = SimpleNamespace(batch_results=path.results)
    with app.test_request_context(method=method, headers=headers):
        return stored_response(batch, table, export, redirects=redirects)


def test_the_address_gives_the_file_without_a_key(path: BulkPath) -> None:
    batch = path.run(cars_csv(25))
    response = asked(path, batch)
    assert response.status_code == 307
    assert response.get_data() == b""
    assert response.headers["Cache-Control"] == "private, no-store"
    assert response.headers["Carprice-Results"] == "complete"
    assert parse_qs(urlsplit(response.location).query)["X-Amz-Expires"] == ["300"]
    sent = asked(path, batch, redirects=False)
    with urllib.request.urlopen(response.location) as stored:
        assert stored.read() == sent.get_data()
        assert stored.headers["Content-Disposition"] == sent.headers["Content-Disposition"]
        assert stored.headers["Content-Type"] == "text/csv"


def test_other_tables_and_formats_have_addresses_too(path: BulkPath) -> None:
    batch = path.run(cars_csv(5) + b"R6,Toyota,,1800,x,y,z,,\n")
    rejected = asked(path, batch, table=ResultTable.REJECTED)
    with urllib.request.urlopen(rejected.location) as stored:
        assert stored.read().decode() == path.text(batch, "rejected.csv")
    lines = asked(path, batch, Export(format=ExportFormat.NDJSON))
    with urllib.request.urlopen(lines.location) as stored:
        assert stored.read().count(b"\n") == 6
        assert stored.headers["Content-Type"] == "application/x-ndjson"


def test_the_address_has_the_host_by_which_callers_reach_the_store(
    servers: Servers, tmp_path: Path, object_store: ObjectStore
) -> None:
    url = f"s3://{BUCKET}/{new_id()}"
    blobs = S3BlobStore(url, object_store.endpoint_url, "https://files.example")
    path = BulkPath(tmp_path, servers.broker, blobs=blobs)
    path.results = dataclasses.replace(path.results, url_s=60)
    batch = path.run(cars_csv(5))
    parts = urlsplit(asked(path, batch).location)
    assert (parts.scheme, parts.netloc) == ("https", "files.example")
    assert parts.path.endswith(f"/{batch.manifest.id}/results.csv")


def test_the_file_is_sent_where_no_address_is_given(
    path: BulkPath, servers: Servers, tmp_path: Path
) -> None:
    batch = path.run(cars_csv(5))
    assert asked(path, batch, redirects=False).status_code == 200
    assert asked(path, batch, method="HEAD").status_code == 200
    etag = asked(path, batch, redirects=False).headers["ETag"]
    assert asked(path, batch, headers={"If-None-Match": etag}).status_code == 304
    path.results = dataclasses.replace(path.results, url_s=0)
    assert asked(path, batch).status_code == 200
    in_folder = BulkPath(tmp_path / "folder", servers.broker)
    in_folder.results = dataclasses.replace(in_folder.results, url_s=300)
    assert asked(in_folder, in_folder.run(cars_csv(5))).status_code == 200


def test_the_address_holds_for_this_file_only(path: BulkPath) -> None:
    batch = path.run(cars_csv(5))
    address = asked(path, batch).location
    signed = parse_qs(urlsplit(address).query)
    assert signed["X-Amz-SignedHeaders"] == ["host"]
    assert len(signed["X-Amz-Signature"][0]) == 64
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(address.replace("results.csv", "gone.csv"))
