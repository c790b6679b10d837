"""Fuzz targets: records that another version of the service, or a damaged disk, may hold."""

import base64
import contextlib
import io
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import msgpack
import orjson
import redis

from api.jobs.listing import _job_summary_or_error
from api.sales.log import _read as read_sale_lines
from model_store.registry.history import _parse_line as parse_history_line
from model_store.registry.manifest import ModelVersion
from shared.audit.chain import GENESIS_HASH, ChainVerifier, chain
from shared.audit.signing import authentic, mac_of, signed
from shared.audit.sums import FileSums, StoredSums
from shared.blobs.batch_files import BatchFiles
from shared.blobs.local import LocalBlobStore
from shared.blobs.parts import HEAD_LENGTH, decode_part_head
from shared.domain.batch import BatchManifest, BatchOptions, BatchOutcome, BatchProgress
from shared.domain.errors import DomainError
from shared.domain.files.notes import NoteCount
from shared.domain.ids import BatchId, CallerId, JobId
from shared.domain.job import Callback, Job
from shared.domain.outlook import (
    Comparable,
    Depreciation,
    DepreciationPoint,
    Pace,
    SimilarityReason,
)
from shared.domain.table import ColumnMatch, Detection, Dialect, Notice
from shared.domain.valuation import Contribution, Estimate, Explanation, Extra
from shared.fields.requests import load_car_request
from shared.keys.entries import KeyEntry
from shared.keys.store import FileKeyStore, KeyStoreError
from shared.queue.sender import unpack_reply
from shared.queue.waiting import _parse as parse_message
from shared.redis.cache import EstimateCache
from shared.redis.dead_letters import _from_hash as read_dead_letter
from shared.redis.job_store.endings import JobEnded, read_ends
from shared.redis.job_store.records import from_hash
from shared.redis.webhooks.records import Delivery, RecordedEnd, pack_callback
from tests.fuzz.inputs import altered_bytes, json_bytes, msgpack_bytes
from tests.fuzz.target import target
from worker.valuations.cars import read_items

CAR = load_car_request(
    {"company": "Toyota", "model": "Corola", "year": 2020, "fuel": "Petrol", "km_driven": 25000},
    extras=(Extra.CONTRIBUTIONS,),
)
QUANTILES = tuple(100_000.0 + 10_000 * n for n in range(9))
ESTIMATE = Estimate(
    price_mad=150_000.0,
    quantiles_mad=QUANTILES,
    model_version="2026-11-22T101112-abcdef",
    model_known=True,
    explanation=Explanation(100.0, (Contribution("year", "2020", 5.0),)),
    depreciation=Depreciation(
        km_per_year=10_000, pace=Pace.OWN, points=(DepreciationPoint(1, 40_000, 90.0, QUANTILES),)
    ),
    comparables=(
        Comparable(
            company="toyota", model="corolla", year_from=2019, year_to=2021, km_driven=30_000,
            fuel="Petrol", transmission="Manual", price_mad=99_000.0, listings=12, distance=0.5,
            alike=(SimilarityReason.MODEL,),
        ),
    ),
)  # fmt: skip
REQUEST_WIRE, ESTIMATE_WIRE = CAR.to_wire(), ESTIMATE.to_wire()
JOB = {
    "caller": "me", "state": "SUCCEEDED", "created_at": "1790000000.0", "is_list": "1",
    "total": "1", "schema": "2", "attempts": "1", "started_at": "1.0", "finished_at": "2.0",
    "cancel_requested": "0", "error": "", "requests": [REQUEST_WIRE], "estimates": [ESTIMATE_WIRE],
    "origin": ["group", 1.5],
}  # fmt: skip
MANIFEST = BatchManifest(
    id=BatchId("01m8kpen259hftskk8vsn7avpw"),
    caller=CallerId("me"),
    accepted_at=1.0,
    model_version="v1",
    options=BatchOptions(columns=(("year", "#3"),)),
    dialect=Dialect(
        encoding="utf-8",
        delimiter=";",
        header=("Marque", "Modèle", "Année"),
        columns={"year": ColumnMatch(index=2, confidence=1.0, basis="given")},
        findings={"decimal": Detection(value=",", confidence=1.0, basis="given")},
        notices=(Notice(code="row-names", values=("a",)),),
    ),
    sha256="0" * 64,
    size_bytes=5,
).to_json()
FINAL = BatchProgress(
    outcome=BatchOutcome.COMPLETE, notes=(NoteCount("year", "litres", 2, ("a",)),), total=3
).to_json()
PART_HEAD = [[1, 1, 0], [5, 6, 7], 2, [1, 2.0, [1], [2]], [["year", "litres", 1, ["a"]]], [1, 0, 0]]
LETTER = {
    "kind": "job", "work_id": "01m8", "step": "", "caller": "me", "reason": "x", "attempts": "3",
    "failed_at": "5.0",
}  # fmt: skip
KEYS = [
    {
        "hash": "a" * 64, "caller": "shop", "scopes": ["predict"], "expires_at": None,
        "created_at": "2026-11-22T00:00:00Z", "limits": {"requests_per_second": 5},
    }
]  # fmt: skip
MODEL = {
    "version": "v1", "created_at": "2026-11-22T00:00:00+00:00", "feature_names": ["year"],
    "self_test": [{"car": {"company": "kia"}, "price_mad": 5.0}], "files": {"a": "b"},
}  # fmt: skip
AUDIT = {
    "id": "01m8", "at": 1.5, "caller": "me", "price_mad": 5.0, "model_version": "v1",
    "cached": False, "response_time_ms": 1.0, "status": "success",
}  # fmt: skip
SALE = {
    "id": "01m8", "at": 1.0, "caller": "me", "sale_price_mad": 5.0, "sold_at": "2026-11-20",
    "price_mad": 5.0, "low_mad": 4.0, "high_mad": 6.0, "model_version": "v1",
    "is_correction": False,
}  # fmt: skip
SUMS = orjson.loads(StoredSums("predictions", 5, "", FileSums()).encode())
ACTIVATION = {"at": "2026-11-22T00:00:00Z", "action": "activate", "version": "b", "previous": "a"}


@target(msgpack_bytes(JOB))
def job_record(data: bytes) -> None:
    """The hash of a job, and its entry in a list."""
    members = unpacked(data)
    if not isinstance(members, dict):
        return
    packed = ("requests", "estimates", "origin")
    stored = {
        _bytes(name): msgpack.packb(value) if name in packed else _bytes(value)
        for name, value in members.items()
        if value is not None
    }
    try:
        job = from_hash(JobId("01m8kpen259hftskk8vsn7avpw"), stored, lambda name: name.encode())
    except DomainError:
        return
    assert isinstance(job, Job)
    names = ("caller", "state", "created_at", "started_at", "finished_at", "total")
    _job_summary_or_error("01m8", [stored.get(name.encode()) for name in names])


@target(
    altered_bytes([msgpack.packb([JOB["requests"], JOB["estimates"]]), msgpack.packb(["g", 1.5])])
)
def job_payload(data: bytes) -> None:
    """Payloads of a job as bytes."""
    fixed = {b"caller": b"me", b"state": b"QUEUED", b"created_at": b"1.0"}
    for name in (b"requests", b"estimates", b"origin", b"created_at", b"schema", b"attempts"):
        try:
            from_hash(JobId("01m8"), fixed | {name: data}, lambda _: data)
        except DomainError:
            continue


@target(
    msgpack_bytes(["01m8", REQUEST_WIRE, "me", 5.0, 4.0])
    | msgpack_bytes(["group", [["01m8", ESTIMATE_WIRE, None], ["01m9", None, "model-not-loaded"]]])
    | msgpack_bytes([5e9, ESTIMATE_WIRE])
    | msgpack_bytes([["01m8", "SUCCEEDED", ["5.0", "4.0"], 1, "", b"\x90"]])
)
def message(data: bytes) -> None:
    """Messages between API and workers, ends of jobs, and entries of the cache."""
    waiting, unreadable = read_items([data])
    assert len(waiting) + len(unreadable) <= 1
    with contextlib.suppress(DomainError):
        _, answered = unpack_reply(data)
        assert all(isinstance(result, Estimate | DomainError) for _, result in answered)
    cache = EstimateCache(redis.Redis(), 5, time.time)
    cache._read(("v1", CAR.car, ()), data)
    with contextlib.suppress(DomainError):
        assert all(isinstance(end, JobEnded) for end in read_ends(data))
    parse_message(data)
    parse_message(orjson.dumps({"headers": {}, "body": base64.b64encode(data).decode()}))


@target(json_bytes(MANIFEST) | json_bytes(FINAL) | altered_bytes([orjson.dumps(MANIFEST)]))
def batch_record(data: bytes) -> None:
    """JSON files of a batch."""
    with tempfile.TemporaryDirectory() as folder:
        blobs = LocalBlobStore(Path(folder))
        files, batch = BatchFiles(blobs), BatchId("01m8kpen259hftskk8vsn7avpw")
        for name in ("manifest.json", "table.json", "final.json", "split.json", "deleted.json"):
            with blobs.write(batch, name) as blob:
                blob.write(data)
        for read in (files.manifest, files.final, files.split_state, files.tombstone):
            with contextlib.suppress(DomainError):
                read(batch)
        with contextlib.suppress(DomainError):
            files.refusal(BatchManifest.from_json(MANIFEST | {"corrects": "x"}))


@target(msgpack_bytes(PART_HEAD))
def part_head(data: bytes) -> None:
    """The head of a part of the results."""
    length = HEAD_LENGTH.pack(len(data))
    for blob in (length + data, data):
        with contextlib.suppress(DomainError, EOFError):
            decode_part_head(io.BytesIO(blob))


@target(json_bytes(LETTER))
def dead_letter(data: bytes) -> None:
    """The hash of a dead letter."""
    members = orjson.loads(data)
    if isinstance(members, dict):
        with contextlib.suppress(DomainError):
            read_dead_letter({_bytes(name): _bytes(value) for name, value in members.items()})


END = {
    "kind": "job", "id": "01m8fqj4f7z0kj5s71amqzvc4r", "caller": "me", "state": "SUCCEEDED",
    "created_at": "1.0", "started_at": False, "finished_at": "2.0", "total": "1", "error": "",
    "callback": pack_callback(Callback(url="https://a.example", key_id="", language="fr")),
}  # fmt: skip
WEBHOOK = {"schema": 1, "entry": b"", "due_from": 1.0, "give_up_at": 2.0, "last_status": None}


@target(msgpack_bytes(END) | msgpack_bytes(WEBHOOK) | altered_bytes([msgpack.packb(END)]))
def webhook_record(data: bytes) -> None:
    """A recorded end, and the record of a webhook."""
    with contextlib.suppress(DomainError):
        assert RecordedEnd.from_entry(data).webhook_id
    with contextlib.suppress(DomainError):
        Delivery.unpack(data)


@target(json_bytes(KEYS) | altered_bytes([orjson.dumps(KEYS)]))
def key_file(data: bytes) -> None:
    """The file of API keys, and the times of their use."""
    with tempfile.TemporaryDirectory() as folder:
        store = FileKeyStore(Path(folder) / "keys.json", None)
        store.path.write_bytes(data)
        store._used_path.write_bytes(data)
        with contextlib.suppress(KeyStoreError):
            for entry in store.load() or ():
                assert KeyEntry.from_json(json.loads(json.dumps(entry.to_json()))) == entry
        store.last_used()


@target(json_bytes(MODEL) | altered_bytes([orjson.dumps(ACTIVATION)]) | json_bytes(ACTIVATION))
def model_record(data: bytes) -> None:
    """A manifest of a model version, and a line of the history of activations."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "manifest.json").write_bytes(data)
        with contextlib.suppress(KeyError, TypeError, ValueError):
            ModelVersion.read(Path(folder))
    parse_history_line(data.decode("utf-8", "replace"))


@target(
    json_bytes(AUDIT) | json_bytes(SALE) | json_bytes(SUMS) | altered_bytes([orjson.dumps(AUDIT)])
)
def audit_line(data: bytes) -> None:
    """A line of the audit log or of the sale reports."""
    list(read_sale_lines(data, "sales"))
    with contextlib.suppress(KeyError, TypeError, ValueError):
        FileSums().add_line(data)
    stored = StoredSums.decode(data)
    assert stored is None or StoredSums.decode(stored.encode()) == stored
    authentic(b"key", data)
    authentic(b"key", signed(b'{"a":1}', mac_of(b"key", b'{"a":1}')) + data)
    lines, _, _ = chain([data.replace(b"\n", b"") or b"{}"], GENESIS_HASH)
    for line in (data, data + b"\n", *lines.splitlines(keepends=True)):
        ChainVerifier().follow(line)


def unpacked(data: bytes) -> Any:
    """A msgpack value; None if it is none."""
    try:
        return msgpack.unpackb(data)
    except (ValueError, TypeError):
        return None


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
