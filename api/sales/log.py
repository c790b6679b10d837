"""Sale reports: an append-only log of hash-chained JSON lines, and a SQLite index over it.

The files `outcomes_<day>.<writer>.jsonl` are in the folder of the audit log. A correction is
another line. The index holds the last report on each valuation and how many bytes of each file it
covers, so the next write also indexes lines whose writer died. A deleted index is rebuilt.
"""

import contextlib
import dataclasses
import datetime as dt
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import orjson

from shared.audit.chain import OUTCOMES_PREFIX
from shared.audit.checkpoints import Checkpoints
from shared.audit.hosts.identity import HOSTS_FOLDER
from shared.audit.log import AuditLog, Fsync
from shared.audit.sales_index import SALES_INDEX
from shared.domain.clock import Clock
from shared.domain.errors import AuditUnavailable
from shared.domain.ids import CallerId
from shared.domain.sale import Sale, SaleAccuracy, SaleReport, SaleReportKind
from shared.logging import describe, get_logger

BUSY_TIMEOUT_S = 2.0
INDEX_VERSION = 2
"""`user_version` of the SQLite file; an index of another version is rebuilt."""

_TABLE = """
CREATE TABLE outcomes (
  id TEXT PRIMARY KEY, caller TEXT, sale_price_mad REAL, sold_at TEXT, price_mad REAL,
  low_mad REAL, high_mad REAL, model_version TEXT, at REAL, is_correction INTEGER,
  ape REAL, ratio REAL, is_inside INTEGER
) WITHOUT ROWID
"""
_BY_ERROR = "CREATE INDEX by_error ON outcomes (model_version, ape)"
_FILES = "CREATE TABLE files (name TEXT PRIMARY KEY, bytes INTEGER) WITHOUT ROWID"
_PUT_FILE = "INSERT OR REPLACE INTO files VALUES (?, ?)"
_PUT = "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_GET = """
SELECT caller, sale_price_mad, sold_at, price_mad, low_mad, high_mad, model_version, at,
  is_correction FROM outcomes WHERE id = ?
"""
_FIGURES = """
SELECT model_version, COUNT(*), SUM(is_correction), AVG(ratio), AVG(is_inside)
FROM outcomes WHERE :caller IS NULL OR caller = :caller
GROUP BY model_version ORDER BY model_version DESC
"""
_MEDIAN = """
SELECT AVG(ape) FROM (
  SELECT ape FROM outcomes
  WHERE model_version = :version AND (:caller IS NULL OR caller = :caller)
  ORDER BY ape LIMIT :many OFFSET :first
)
"""

log = get_logger("outcomes")


class SaleReportLog:
    """Stores sale reports; safe for threads and processes of one host.

    Args:
        folder: of the audit log.
        writer: unique name of this process; empty if it only reads.
        clock: returns Unix time.
        fsync: when reports are flushed to the disk.
        checkpoints: of the log; None: none are written.
        monotonic: as for `AuditLog`.
    """

    def __init__(
        self,
        folder: Path,
        writer: str,
        clock: Clock,
        *,
        fsync: Fsync = Fsync.NO,
        checkpoints: Checkpoints | None = None,
        monotonic: Clock | None = None,
    ) -> None:
        self._folder = folder
        self._indexed: dict[str, int] = {}
        """Bytes of each file of another host that were indexed when this process looked last."""
        self._lines = AuditLog(
            folder,
            writer,
            clock,
            OUTCOMES_PREFIX,
            fsync=fsync,
            checkpoints=checkpoints,
            monotonic=monotonic,
        )

    def get(self, valuation_id: str) -> SaleReport | None:
        """The last report on a valuation; raises `AuditUnavailable` if it cannot be read."""
        with self._index() as index:
            return _get(index, valuation_id)

    def put(self, report: SaleReport) -> tuple[SaleReport, SaleReportKind]:
        """Store a report, unless the last one on its valuation has the same sale.

        Returns:
            The stored report, and whether it is new, repeated or a correction.

        Raises:
            AuditNotFlushed: the report is stored, but the disk has not confirmed it.
            AuditUnavailable: the disk or the index failed.
        """
        with self._index() as index:
            index.execute("BEGIN IMMEDIATE")
            self._index_new_lines(index)
            known = _get(index, report.valuation_id)
            if known is not None and known.sale == report.sale:
                index.commit()
                self._lines.check()  # the flush of its line may have failed
                return known, SaleReportKind.REPEATED
            if known is not None:
                report = dataclasses.replace(report, is_correction=True)
            self._lines.append([report])
            self._index_new_lines(index)
            index.commit()
        return report, SaleReportKind.NEW if known is None else SaleReportKind.CORRECTION

    def figures(self, caller: CallerId | None = None) -> list[SaleAccuracy]:
        """The accuracy of each model version, newest first.

        Args:
            caller: whose valuations are compared with their sales; None: those of all callers.
        """
        with self._index() as index:
            return [
                SaleAccuracy(
                    model_version=version,
                    outcomes=count,
                    corrections=corrections,
                    median_ape=_median_ape(index, version, count, caller),
                    mean_ratio=mean_ratio,
                    coverage_90=coverage,
                )
                for version, count, corrections, mean_ratio, coverage in index.execute(
                    _FIGURES, {"caller": caller}
                )
            ]

    def of_version(self, version: str) -> list[SaleReport]:
        """The last report on each valuation by a model version; raises `AuditUnavailable`."""
        with self._index() as index:
            ids = index.execute("SELECT id FROM outcomes WHERE model_version = ?", (version,))
            reports = [_get(index, one) for (one,) in ids.fetchall()]
        return [report for report in reports if report is not None]

    def check(self) -> None:
        """Check that the last flush succeeded; raises `AuditUnavailable` if it did not."""
        self._lines.check()

    def close(self) -> None:
        """Close the log file."""
        self._lines.close()

    @contextlib.contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """The index; built from the log if it is missing or of another version."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / SALES_INDEX
            connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            with contextlib.closing(connection) as index:
                if _version(index) != INDEX_VERSION:
                    self._build(index)
                self._index_other_hosts(index)
                yield index
        except (sqlite3.Error, OSError) as error:
            raise AuditUnavailable(reason=str(error)) from error

    def _build(self, index: sqlite3.Connection) -> None:
        index.execute("BEGIN IMMEDIATE")
        if _version(index) != INDEX_VERSION:  # no other process has built it meanwhile
            for table in ("outcomes", "files"):
                index.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in (_TABLE, _BY_ERROR, _FILES):
                index.execute(statement)
            self._index_new_lines(index)
            index.execute(f"PRAGMA user_version = {INDEX_VERSION}")
        index.commit()

    def _index_new_lines(self, index: sqlite3.Connection) -> None:
        """Index all lines that are not indexed yet, including those of dead writers."""
        taken = dict(index.execute("SELECT name, bytes FROM files"))
        found: list[tuple[SaleReport, bool]] = []
        for path in self._report_files():
            name = path.relative_to(self._folder).as_posix()
            start = taken.get(name, 0)
            if path.stat().st_size > start:
                lines = _complete_lines(path, start)
                found += [(report, "/" in name) for report in _read(lines, name)]
                index.execute(_PUT_FILE, (name, start + len(lines)))
        for report, is_copied in sorted(found, key=lambda each: each[0].recorded_at):
            _put_line(index, report, is_copied=is_copied)

    def _report_files(self) -> list[Path]:
        """The files of this host, then the copies of those of others."""
        pattern = f"{OUTCOMES_PREFIX}_*.jsonl"
        others = (self._folder / HOSTS_FOLDER).glob(f"*/{pattern}")
        return [*sorted(self._folder.glob(pattern)), *sorted(others)]

    def _index_other_hosts(self, index: sqlite3.Connection) -> None:
        """Index what other hosts have reported since the last look."""
        hosts = self._folder / HOSTS_FOLDER
        if not hosts.is_dir():
            return
        sizes = {
            str(path): path.stat().st_size for path in hosts.glob(f"*/{OUTCOMES_PREFIX}_*.jsonl")
        }
        if sizes != self._indexed:
            index.execute("BEGIN IMMEDIATE")
            self._index_new_lines(index)
            index.commit()
            self._indexed = sizes


def _version(index: sqlite3.Connection) -> int:
    found: int = index.execute("PRAGMA user_version").fetchone()[0]
    return found


def _complete_lines(path: Path, start: int) -> bytes:
    """The complete lines of a file from offset `start` on."""
    with path.open("rb") as file:
        file.seek(start)
        text = file.read()
    return text[: text.rfind(b"\n") + 1]


def _read(lines: bytes, name: str) -> Iterator[SaleReport]:
    for line in lines.splitlines():
        try:
            yield SaleReport.from_json(orjson.loads(line))
        except (KeyError, TypeError, ValueError) as error:
            log.warning("outcome_line_unreadable", file=name, error=describe(error))


def _get(index: sqlite3.Connection, valuation_id: str) -> SaleReport | None:
    row = index.execute(_GET, (valuation_id,)).fetchone()
    if row is None:
        return None
    caller, sale_price_mad, sold_at, price_mad, low_mad, high_mad, version, at, corrected = row
    return SaleReport(
        valuation_id=valuation_id,
        caller=CallerId(caller),
        sale=Sale(price_mad=sale_price_mad, sold_at=dt.date.fromisoformat(sold_at)),
        price_mad=price_mad,
        low_mad=low_mad,
        high_mad=high_mad,
        model_version=version,
        recorded_at=at,
        is_correction=bool(corrected),
    )


def _put(index: sqlite3.Connection, report: SaleReport) -> None:
    fields = list(report.to_json().values())
    identity, at, caller, *rest, version, corrected = fields
    derived = (report.ape, report.ratio, report.is_inside)
    index.execute(_PUT, (identity, caller, *rest, version, at, corrected, *derived))


def _put_line(index: sqlite3.Connection, report: SaleReport, *, is_copied: bool) -> None:
    """Store the report of a line; one of another host only if it says something new.

    Two hosts may have taken reports on the same valuation at the same time.
    """
    known = _get(index, report.valuation_id)
    if known is not None and is_copied:
        if known.sale == report.sale or known.recorded_at > report.recorded_at:
            return
        report = dataclasses.replace(report, is_correction=True)
    _put(index, report)


def _median_ape(
    index: sqlite3.Connection, version: str, count: int, caller: CallerId | None
) -> float:
    """The median of the absolute percentage errors."""
    many = 2 - count % 2
    chosen = {"version": version, "caller": caller, "many": many, "first": (count - many) // 2}
    found = index.execute(_MEDIAN, chosen).fetchone()
    return float(found[0])
