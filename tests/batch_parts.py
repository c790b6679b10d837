"""The batch pipeline in one process: real files, a real ledger, tasks run one after the other."""

import csv
import dataclasses
import io
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from api.batches.results import BatchResults
from api.batches.service import Batches
from api.events.changes import StateChanges
from api.events.thread_waits import ThreadWaits
from api.events.waits import Waits
from api.jobs.idempotency import RedisIdempotency
from api.limits import ConcurrencyLimiter
from api.loops.event_loops import EventLoops
from shared.blobs.batch_files import BatchFiles
from shared.blobs.local import LocalBlobStore
from shared.blobs.stores import BlobStore
from shared.domain.batch import Batch, BatchOptions, ResultTable
from shared.domain.errors import BrokerUnavailable
from shared.domain.files.exports import Export
from shared.domain.ids import BatchId, CallerId
from shared.domain.valuation import QUANTILE_LEVELS
from shared.queue.names import TaskName
from shared.redis.batch_ledger.ledger import BatchLedger
from shared.redis.batch_ledger.retained import RetainedBatches
from shared.redis.connections import RedisClient
from shared.redis.dead_letters import DeadLetters
from worker.batches.assemble import BatchAssembler
from worker.batches.corrections.importer import CorrectionImporter
from worker.batches.exports.service import BatchExporter
from worker.batches.split import BatchSplitter
from worker.batches.steps import BatchStepSender
from worker.batches.sweep import BatchSweeper
from worker.batches.tables import TableImporter
from worker.batches.value import BatchValuation

CALLER = CallerId("somebody")
HEADER = "company,model,year,fuel,transmission,km_driven"
GOOD_ROW = "Toyota,Corolla,2020,Petrol,Manual,25000"
BAD_ROW = "Toyota,Corolla,1890,Petrol,Manual,a lot"


def cars_csv(rows: int, *, seed: int = 1, header: bool = True) -> bytes:
    """Return a CSV file of different cars; the column `ref` has the number of the row."""
    rng = random.Random(seed)
    brands = [("Toyota", "Corolla"), ("Dacia", "Logan"), ("Renault", "Clio"), ("VW", "Golf 7")]
    text = io.StringIO()
    if header:
        text.write("ref,company,model,year,fuel,transmission,km_driven,engine_cc,city\n")
    for number in range(1, rows + 1):
        company, model = rng.choice(brands)
        text.write(
            f"R{number},{company},{model},{rng.randint(2000, 2024)},"
            f"{rng.choice(('Essence', 'Diesel', 'Hybride'))},{rng.choice(('Manuelle', 'Auto'))},"
            f"{rng.randrange(0, 300_000, 100)},{rng.choice((1200, 1500, 1998))},Casablanca\n"
        )
    return text.getvalue().encode()


@dataclasses.dataclass(frozen=True)
class Table:
    """Prices and quantiles of many cars."""

    price_mad: NDArray[np.float64]
    quantiles_mad: NDArray[np.float64]
    model_known: NDArray[np.bool_]
    notes: NDArray[np.int64]
    without_effect: tuple[str, ...] = ()


class PricePerKm:
    """A model with predictable prices: 300,000 minus the kilometres."""

    def __init__(self) -> None:
        self.calls = 0
        self.rows = 0
        self.months: set[int | None] = set()
        self.fault: Callable[[], None] | None = None
        self.without_effect: tuple[str, ...] = ()
        self.notes_of: Callable[[Mapping[str, Any], int], NDArray[np.int64]] | None = None

    def load(self, version: str) -> "PricePerKm":
        """Return this model."""
        assert version == "v1"
        return self

    def estimate_columns(
        self,
        columns: Mapping[str, Sequence[Any]],
        n: int,
        *,
        month: int | None = None,
    ) -> Table:
        """Return the prices of `n` cars."""
        self.calls += 1
        if self.fault is not None:
            self.fault()
        km = columns["km_driven"]
        assert len(km) == n
        self.rows += n
        self.months.add(month)
        driven = np.nan_to_num(np.asarray(km, dtype=np.float64), nan=100_000.0)
        price = np.maximum(300_000.0 - driven, 5_000.0)
        levels = np.asarray(QUANTILE_LEVELS)
        quantiles = price[:, None] * (0.5 + levels)[None, :]
        notes = self.notes_of(columns, n) if self.notes_of else np.zeros(n, np.int64)
        return Table(price, quantiles, np.ones(n, np.bool_), notes, self.without_effect)


class ActiveV1:
    """The pointer to the active version."""

    def version_id(self) -> Any:
        """Return the version to which new batches are pinned."""
        return "v1"


class Clock:
    """A clock that tests advance."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


class Memory:
    """An uploaded file in memory."""

    def __init__(self, data: bytes, block: int = 65_536, file_name: str = "stock.csv") -> None:
        self._data = data
        self._block = block
        self.file_name = file_name
        self.charset: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._data), self._block):
            yield self._data[start : start + self._block]


class BulkPath:
    """All services of the batch pipeline with one folder, one broker and a queue in memory."""

    def __init__(
        self,
        folder: Path,
        client: RedisClient,
        *,
        chunk_rows: int = 10,
        window: int = 4,
        max_attempts: int = 3,
        lease_s: int = 30,
        retention_s: int = 1000,
        max_bytes: int = 200_000_000,
        blobs: BlobStore | None = None,
    ) -> None:
        self.folder = folder
        self.client = client
        self.chunk_rows = chunk_rows
        self.clock = Clock()
        self.model = PricePerKm()
        self.reading = ""
        """`ref` of the first row of the chunk whose task runs."""
        self.queue: deque[tuple[TaskName, dict[str, Any]]] = deque()
        self.is_broker_down = False
        self.audit_folder = folder / "audit"
        self.blobs: BlobStore = blobs or LocalBlobStore(folder / "batches")
        self.files = BatchFiles(self.blobs)
        self.store = BatchLedger(
            client, self.clock, lease_s=lease_s, window=window, max_attempts=max_attempts
        )
        self.dead_letters = DeadLetters(client, self.clock)
        self.places = 0
        """Processes of the bulk workers that are alive."""
        self.step_sender = BatchStepSender(self.store, self.send, lambda: self.places)
        self.tables = TableImporter(
            self.files, self.store, spool=folder / "spool", max_bytes=max_bytes
        )
        self.split = BatchSplitter(
            self.files,
            self.store,
            self.step_sender,
            self.tables,
            CorrectionImporter(self.files, self.store),
            dead_letters=self.dead_letters,
            chunk_rows=chunk_rows,
            slice_chunks=3,
        )
        self.value = BatchValuation(
            self.files,
            self.store,
            self.step_sender,
            models=cast("Any", self.model),
            audit_folder=self.audit_folder,
            clock=self.clock,
            dead_letters=self.dead_letters,
            max_attempts=max_attempts,
        )
        self.assemble = BatchAssembler(
            self.files,
            self.store,
            self.clock,
            self.dead_letters,
            audit_folder=self.audit_folder,
        )
        self.sweep = BatchSweeper(
            self.files,
            self.store,
            RetainedBatches(client),
            self.step_sender,
            self.clock,
            audit_folder=self.audit_folder,
            retention_s=retention_s,
        )
        self.forms = BatchExporter(self.files, self.store, spool=folder / "spool")
        self.changes = StateChanges(client)
        self.waits = ThreadWaits(
            Waits(self.changes, 100),
            EventLoops(),
            long_waits=threading.BoundedSemaphore(4),
            streams=ConcurrencyLimiter(4),
        )
        self.results = BatchResults(
            files=self.files,
            ledger=self.store,
            waits=self.waits,
            send=self.make_form,
        )
        self.batches = Batches(
            files=self.files,
            ledger=self.store,
            active_model=ActiveV1(),
            idempotency=RedisIdempotency(client),
            waits=self.waits,
            send=self.send,
            clock=self.clock,
            max_bytes=max_bytes,
            retention_s=retention_s,
        )

    def split_by(self, chunk_rows: int) -> None:
        """Split files that are uploaded from now on into chunks of so many rows."""
        self.chunk_rows = self.split._chunk_rows = chunk_rows

    def send(self, task: TaskName, kwargs: dict[str, Any], caller: CallerId, **_: Any) -> None:
        """Put a task on the queue."""
        # Ledgers that the release before opened name no caller.
        assert caller in {CALLER, ""}
        if self.is_broker_down:
            raise BrokerUnavailable(reason="down for the test")
        self.queue.append((task, kwargs))

    def make_form(self, task: TaskName, kwargs: dict[str, Any], caller: CallerId, **_: Any) -> None:
        """Write an export at once, as a worker does."""
        assert caller == CALLER
        if self.is_broker_down:
            raise BrokerUnavailable(reason="down for the test")
        assert task is TaskName.MAKE_EXPORT
        self.forms.run(
            kwargs["batch_id"],
            ResultTable(kwargs["table"]),
            Export.from_json(kwargs["export"]),
            kwargs["revision"],
        )

    def accept(self, data: bytes, key: str | None = None, **options: Any) -> BatchId:
        """Upload a file."""
        return self.batches.accept(Memory(data), BatchOptions(**options), CALLER, key).manifest.id

    def accept_correction(self, batch: Batch, data: bytes, key: str | None = None) -> BatchId:
        """Send corrected rows of a batch."""
        file = Memory(data, file_name="corrected.csv")
        return self.batches.correct(batch.manifest.id, file, CALLER, key).manifest.id

    def correct(self, batch: Batch, data: bytes) -> Batch:
        """Send corrected rows of a batch and run their batch."""
        batch_id = self.accept_correction(batch, data)
        self.drain()
        return self.get(batch_id)

    def step(self) -> TaskName:
        """Run the first task of the queue."""
        task, arguments = self.queue.popleft()
        batch_id = arguments["batch_id"]
        if task is TaskName.SPLIT_BATCH:
            self.split.run(batch_id)
        elif task is TaskName.VALUE_CHUNK:
            self.reading = f"R{arguments['chunk'] * self.chunk_rows + 1}"
            self.value.run(batch_id, arguments["chunk"])
        else:
            self.assemble.run(batch_id)
        return task

    def drain(self) -> None:
        """Run tasks until the queue is empty."""
        while self.queue:
            self.step()

    def sweep_until_ended(self, batch_id: BatchId, rounds: int = 200) -> Batch:
        """Run tasks and sweeps, and advance the clock, until the batch has ended."""
        for _ in range(rounds):
            self.drain()
            batch = self.get(batch_id)
            if batch.progress.state.is_terminal:
                return batch
            self.clock.now += 20
            self.sweep.sweep()
        raise AssertionError(f"not ended: {self.get(batch_id).progress}")

    def run(self, data: bytes, **options: Any) -> Batch:
        """Upload a file and run its batch."""
        batch_id = self.accept(data, **options)
        self.drain()
        return self.get(batch_id)

    def get(self, batch_id: BatchId) -> Batch:
        """Read a batch."""
        return self.batches.get(batch_id, CALLER)

    def text(self, batch: Batch, name: str = "results.csv") -> str:
        """Read a result file."""
        with self.blobs.read(batch.manifest.id, name) as blob:
            return blob.read().decode()

    def errors(self, batch: Batch, language: Any = "en") -> list[dict[str, Any]]:
        """Read the error report."""
        text = b"".join(self.results.errors(batch, language))
        return [orjson.loads(line) for line in text.splitlines()]

    def audit_lines(self) -> list[bytes]:
        """Read all lines of the audit log."""
        files = sorted(self.audit_folder.glob("*.jsonl"))
        return [line for file in files for line in file.read_bytes().splitlines()]


def rows_of(path: BulkPath, batch: Batch, name: str = "results.csv") -> list[dict[str, str]]:
    """The rows of a CSV of a batch's results."""
    text = io.StringIO(path.text(batch, name))
    return list(csv.DictReader(text, delimiter=batch.manifest.result_delimiter))
