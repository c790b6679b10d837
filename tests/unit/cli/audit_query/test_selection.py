"""`carprice audit query`: which records are found, and the forms in which they are printed."""

import csv
import io
import random
import statistics

import orjson
import pytest
from pyarrow import parquet

from cli.audit.query import time_span
from shared.domain.clock import DAY_S
from shared.i18n.command import speak
from tests.audit_queries import DAY, Log, found, query
from tests.audit_segments import AT

SPRING = {"company": "Dacia", "model": "Spring", "year": 2022}


@pytest.fixture
def log(tmp_path, car):
    """Answers of two processes, a batch and a failed valuation; one process is a day later."""
    log = Log(tmp_path)
    log.write(car, 3, "one", caller="garage")
    log.write(SPRING, 2, "two", days=1, price=80_000.0, cached=True)
    log.write(car, 1, "three", failed=True)
    log.write_batch("b", 12)
    return log


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["--id", "id-one-1"], ["id-one-1"]),
        (["--id", "b-7"], ["b-7"]),
        (["--id", "b"], [f"b-{row}" for row in range(1, 13)]),
        (["--caller", "garage"], ["id-one-0", "id-one-1", "id-one-2"]),
        (["--caller", "garage", "--day", DAY], ["id-one-0", "id-one-1", "id-one-2"]),
        (["--caller", "garage", "--day", "2001-01-01"], []),
        (["--brand", "DACIA"], ["id-two-0", "id-two-1"]),
        (["--model", "spring", "--brand", "kia"], []),
        (["--kind", "predict", "--status", "error"], ["id-three-0"]),
        (["--kind", "batch", "--version", "v0"], []),
        (
            ["--kind", "batch", "--kind", "predict", "--version", "v1", "--from", "2026-09-22"],
            ["id-two-0", "id-two-1"],
        ),
        (["--kind", "sale"], []),
    ],
)
def test_records_are_found(log, arguments, ids):
    assert sorted(row["id"] for row in found(log, *arguments)) == sorted(ids)


def test_a_record_has_what_the_line_says(log, car):
    (row,) = found(log, "--id", "id-one-1")
    assert (row["brand"], row["model"], row["year"]) == ("toyota", "corolla", car["year"])
    assert (row["caller"], row["price_mad"], row["status"]) == ("garage", 100_000.0, "success")
    assert row["at"].startswith(DAY)
    lines = query(log, "--id", "id-one-1", "--lines").stdout
    assert lines == (log.folder / row["file"]).read_text().splitlines(keepends=True)[1]
    assert orjson.loads(lines)["id"] == "id-one-1"


def test_an_unknown_id_is_said_to_be_unknown(log):
    done = query(log, "--id", "id-nobody")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no record of id-nobody was found" in done.stderr


def test_every_form_has_the_same_records(log, tmp_path):
    expected = {(row["id"], row["price_mad"]) for row in found(log)}
    assert len(expected) == 18
    text = query(log, "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {(row["id"], float(row["price_mad"] or "nan")) for row in rows if row["price_mad"]} == {
        each for each in expected if each[1]
    }
    path = tmp_path / "found.parquet"
    assert query(log, "--parquet", str(path)).exit_code == 0
    stored = parquet.read_table(path)
    assert (
        set(zip(stored["id"].to_pylist(), stored["price_mad"].to_pylist(), strict=True)) == expected
    )
    assert str(stored.schema.field("at").type) == "timestamp[us, tz=UTC]"


def test_a_table_shows_the_newest_records_and_says_how_many_there_are(log):
    log.write_batch("c", 150, at=AT + 60)
    done = query(log)
    assert len(done.stdout.splitlines()) == 101
    assert done.stdout.splitlines()[1].startswith("2026-09-22")
    assert "the newest 100 of 168 records" in done.stderr
    times = [row["at"] for row in found(log, "--limit", "5")]
    assert times == sorted(times, reverse=True)


def test_figures_of_groups_are_exact(log):
    rng = random.Random(7)
    for batch in range(5):
        log.write_batch(f"r{batch}", rng.randrange(1, 60), caller=f"c{batch % 2}")
    rows = found(log)
    for key in ("caller", "brand", "kind", "status", "year", "cached"):
        groups: dict[object, list[float | None]] = {}
        for row in rows:
            groups.setdefault(row[key], []).append(row["price_mad"])
        figures = [f"--{name}" for name in ("median", "mean", "min", "max", "sum")]
        arguments = [part for figure in figures for part in (figure, "price_mad")]
        answers = {row[key]: row for row in found(log, "--group-by", key, *arguments)}
        assert answers.keys() == groups.keys()
        for value, prices in groups.items():
            known = [price for price in prices if price is not None]
            answer = answers[value]
            assert answer["records"] == len(prices)
            if not known:
                assert answer["median_price_mad"] is None
                continue
            assert answer["median_price_mad"] == pytest.approx(statistics.median(known))
            assert answer["mean_price_mad"] == pytest.approx(statistics.fmean(known))
            assert answer["sum_price_mad"] == pytest.approx(sum(known))
            assert (answer["min_price_mad"], answer["max_price_mad"]) == (min(known), max(known))


def test_groups_of_several_columns_and_days(log):
    rows = found(log, "--group-by", "day", "--group-by", "brand")
    assert [(row["day"], row["brand"], row["records"]) for row in rows] == [
        (DAY, "kia", 12),
        (DAY, "toyota", 4),
        ("2026-09-22", "dacia", 2),
    ]
    assert found(log, "--mean", "price_mad", "--brand", "kia") == [
        {"records": 12, "mean_price_mad": 6500.0}
    ]
    assert found(log, "--group-by", "brand", "--caller", "nobody") == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--day", "yesterday"], "--day yesterday: expected YYYY-MM-DD"),
        (["--from", "soon"], "--from soon: expected YYYY-MM-DD or"),
        (["--day", DAY, "--to", DAY], "either --day or --from and --to"),
        (["--json", "--csv"], "choose one of"),
        (["--lines", "--group-by", "brand"], "--lines shows records"),
        (["--median", "caller"], "caller"),
    ],
)
def test_options_that_cannot_be_used_are_refused(log, arguments, says):
    done = query(log, *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr


def test_times_are_utc_unless_they_say_otherwise():
    first, last = time_span(None, "2026-09-21", "2026-09-21T15:00:30+01:00")
    assert first == AT // DAY_S * DAY_S
    assert last - first == 14 * 3600 + 30
    assert time_span(DAY, None, None) == (first, first + DAY_S)


@pytest.mark.parametrize(
    ("language", "says"), [("fr", "aucun enregistrement de x"), ("ar", "لم يُعثر")]
)
def test_a_query_speaks_the_language_of_the_command(log, language, says):
    speak(language)
    try:
        assert says in query(log, "--id", "x").stderr
    finally:
        speak("en")
