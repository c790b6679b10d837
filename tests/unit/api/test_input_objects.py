"""Files that callers name: objects of allowed folders of buckets, and nothing else."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask

from api.batches.views import named_file
from api.http.context import EXTENSION
from api.limits import ConcurrencyLimiter, LimitedBody
from shared.blobs.input_objects import InputObject, InputObjects
from shared.domain.batch import BatchOptions, RowCounts
from shared.domain.errors import InvalidInput, StorageUnavailable, TooManyTransfers
from shared.messages.texts import describe
from shared.settings import Settings, SettingsError
from tests.batch_parts import CALLER, BulkPath, cars_csv
from tests.conftest import Servers
from tests.object_store import BUCKET, ObjectStore, running_object_store

INCOMING = f"s3://{BUCKET}/incoming"


@pytest.fixture(scope="module")
def object_store() -> Iterator[ObjectStore]:
    with running_object_store() as store:
        store.put_many(["incoming/stock.csv", "incoming/2026/stock.csv"], cars_csv(25))
        store.put_many(["incoming/stock.csv.gz"], gzip.compress(cars_csv(25)))
        store.put_many(["incoming-private/stock.csv", "batches/id/source"], cars_csv(1))
        yield store


@pytest.fixture
def settings(object_store: ObjectStore) -> Settings:
    return Settings.from_env(
        {
            "INPUT_URIS": f"{INCOMING}/ , s3://other.bucket",
            "BLOB_URL": f"s3://{BUCKET}/batches",
            "BLOB_ENDPOINT_URL": object_store.endpoint_url,
        }
    )


def refusal(inputs: InputObjects, uri: str) -> str:
    with pytest.raises(InvalidInput) as refused:
        inputs.open(uri)
    (problem,) = refused.value.problems
    assert (problem.pointer, problem.code) == ("?input_uri", "invalid-parameter")
    return str(problem.params["expected"])


@pytest.mark.parametrize("name", ["stock.csv", "2026/stock.csv", "stock.csv.gz"])
def test_an_object_is_a_file_like_an_upload(
    settings: Settings, servers: Servers, tmp_path: Path, name: str
) -> None:
    path = BulkPath(tmp_path, servers.broker)
    file = InputObjects.of(settings).open(f"{INCOMING}/{name}")
    batch = path.batches.accept(file, BatchOptions(), CALLER, "key")
    assert batch.manifest.file_name == name.rpartition("/")[2]
    again = InputObjects.of(settings).open(f"{INCOMING}/{name}")
    repeated = path.batches.accept(again, BatchOptions(), CALLER, "key")
    assert repeated.manifest.id == batch.manifest.id, "it has the digest of an upload"
    path.drain()
    assert path.get(batch.manifest.id).progress.counts == RowCounts(valid=25)


@pytest.mark.parametrize(
    "uri",
    [
        f"s3://{BUCKET}/incoming-private/stock.csv",
        f"s3://{BUCKET}/stock.csv",
        f"s3://{BUCKET}/incoming/../batches/id/source",
        f"s3://{BUCKET}/incoming/./stock.csv",
        f"s3://{BUCKET}/incoming//stock.csv",
        f"s3://{BUCKET}/incoming/",
        f"s3://{BUCKET}/incoming/stock.csv?versionId=1",
        f"s3://{BUCKET}/incoming/stock.csv#part",
        f"s3://{BUCKET}/incoming/a\nb",
        f"s3://{BUCKET}/incoming/{'a' * 1100}",
        f"S3://{BUCKET}/incoming/stock.csv",
        "s3://arn:aws:s3:eu-west-1:1:accesspoint/incoming/stock.csv",
        "s3://user:word@cars/incoming/stock.csv",
        "s3://169.254.169.254/incoming/stock.csv",
        "http://169.254.169.254/latest/meta-data",
        f"file:///incoming/{BUCKET}",
        "/etc/passwd",
        f"s3://{BUCKET}",
    ],
)
def test_other_addresses_are_refused_without_a_request(
    settings: Settings, object_store: ObjectStore, uri: str
) -> None:
    object_store.traffic.requests.clear()
    assert refusal(InputObjects.of(settings), uri) == (
        f"an address below {INCOMING}/, s3://other.bucket/"
    )
    assert object_store.traffic.requests == []


def test_the_files_of_the_service_are_no_input(object_store: ObjectStore) -> None:
    settings = Settings(
        input_uris=f"s3://{BUCKET}",
        blob_url=f"s3://{BUCKET}/batches",
        state_url=f"s3://{BUCKET}/state",
        blob_endpoint_url=object_store.endpoint_url,
    )
    inputs = InputObjects.of(settings)
    for name in ("batches/id/source", "state/keys"):
        assert refusal(inputs, f"s3://{BUCKET}/{name}").startswith("an address below")
    assert inputs.open(f"{INCOMING}/stock.csv").file_name == "stock.csv"


def test_without_the_setting_nothing_is_read() -> None:
    inputs = InputObjects.of(Settings())
    assert refusal(inputs, f"{INCOMING}/stock.csv") == "none, as INPUT_URIS says"


def test_a_refusal_is_in_the_language_of_the_caller(settings: Settings) -> None:
    with pytest.raises(InvalidInput) as refused:
        InputObjects.of(settings).open("s3://other/stock.csv")
    (problem,) = refused.value.problems
    text = describe(problem, "fr")
    assert text.startswith(f"Valeur refusée ; attendu : une adresse sous {INCOMING}/")


def test_an_object_that_is_not_there_is_named(settings: Settings) -> None:
    inputs = InputObjects.of(settings)
    expected = "an object that the service can read"
    assert refusal(inputs, f"{INCOMING}/missing.csv") == expected
    assert refusal(inputs, "s3://other.bucket/stock.csv") == expected


def test_a_store_that_is_away_is_no_fault_of_the_caller() -> None:
    inputs = InputObjects([INCOMING], [], "http://127.0.0.1:9")
    with pytest.raises(StorageUnavailable):
        inputs.open(f"{INCOMING}/stock.csv")


def test_an_object_that_is_replaced_while_it_is_read_leaves_no_batch(
    settings: Settings, servers: Servers, tmp_path: Path, object_store: ObjectStore
) -> None:
    path = BulkPath(tmp_path, servers.broker)
    large = cars_csv(5000) + cars_csv(5000, header=False) * 50
    object_store.put_many(["incoming/large.csv"], large)
    file = InputObjects.of(settings).open(f"{INCOMING}/large.csv")
    with pytest.raises(StorageUnavailable):
        path.batches.accept(ReplacedAtBegin(file, object_store, large), BatchOptions(), CALLER)
    assert list(path.blobs.batches()) == []


class ReplacedAtBegin:
    """A file whose object is replaced after its first block was read."""

    def __init__(self, file: InputObject, store: ObjectStore, content: bytes) -> None:
        self._file = file
        self._store = store
        self._content = content
        self.file_name, self.charset = file.file_name, file.charset

    def __iter__(self) -> Iterator[bytes]:
        blocks = iter(self._file)
        yield next(blocks)
        self._store.put_many(["incoming/large.csv"], self._content.replace(b"Toyota", b"Dacia"))
        yield from blocks


@pytest.mark.parametrize(
    "body", [{"data": b"company,model"}, {"headers": {"Transfer-Encoding": "chunked"}}]
)
def test_a_body_beside_the_address_is_refused(settings: Settings, body: dict[str, object]) -> None:
    app = Flask(__name__)
    app.extensions[EXTENSION] = SimpleNamespace(inputs=InputObjects.of(settings))
    uri = f"{INCOMING}/stock.csv"
    with (
        app.test_request_context(method="POST", **body),
        pytest.raises(InvalidInput) as refused,
    ):
        named_file(uri)
    assert refused.value.problems[0].params["expected"] == "no body beside it"
    with app.test_request_context(method="POST"):
        assert named_file(uri).file_name == "stock.csv"


@pytest.mark.parametrize("value", ["cars", "s3://cars,", "https://cars/x", "s3://cars http://x"])
def test_a_setting_that_names_no_buckets_ends_the_start(value: str) -> None:
    with pytest.raises(SettingsError, match="INPUT_URIS"):
        Settings.from_env({"INPUT_URIS": value})


def test_named_files_are_limited_as_uploads_are(
    settings: Settings, object_store: ObjectStore
) -> None:
    app = Flask(__name__)
    app.extensions[EXTENSION] = SimpleNamespace(inputs=InputObjects.of(settings))
    slots = ConcurrencyLimiter(1)
    slots.acquire()
    object_store.traffic.requests.clear()
    with app.test_request_context("/", method="POST") as context:
        context.request.environ["wsgi.input"] = LimitedBody(io.BytesIO(), slots)
        with pytest.raises(TooManyTransfers):
            named_file(f"{INCOMING}/stock.csv")
    assert object_store.traffic.requests == [], "nothing is read before"
