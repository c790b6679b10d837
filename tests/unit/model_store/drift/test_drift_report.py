"""`carprice drift`: figures, periods, what is counted, and why there is nothing to compare."""

import dataclasses
import datetime as dt
import json
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from cli.main import main
from model_store.drift.profile import FieldProfile, TrainingProfile, read_profile
from model_store.drift.report import drift_report
from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from model_store.training.profile import training_profile
from shared.domain.errors import ModelRefused
from tests.unit.model_store.drift.audit_logs import (
    drawn_listings,
    records,
    write_log,
    write_segment,
)

DAYS = {"first": dt.date(2026, 11, 2), "last": dt.date(2026, 11, 15)}


def value(report, name):
    """The PSI of a field over the whole time."""
    return report.whole.psi[name].value


@pytest.fixture(scope="module")
def listings():
    return drawn_listings(4_000, seed=1)


@pytest.fixture(scope="module")
def cars():
    return drawn_listings(2_500, seed=2)


@pytest.fixture(scope="module")
def stored(listings, trained, tmp_path_factory):
    """A registry whose active version has the profile of `listings`."""
    path = tmp_path_factory.mktemp("profiled")
    profile = training_profile(listings, listings["price_mad"].to_numpy())
    version = save_bundle(dataclasses.replace(trained, profile=profile), path)
    ModelRegistry(path).activate(version.id, by="test")
    return path


@pytest.fixture
def active(stored):
    return ModelRegistry(stored).active_version()


@pytest.fixture
def run(stored, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELS_PATH", str(stored))
    monkeypatch.setenv("CARPRICE_HOME", str(tmp_path))

    def call(*options):
        return CliRunner().invoke(
            main, ["drift", "--from", "2026-11-02", "--to", "2026-11-15", *options]
        )

    return call


def test_cars_of_the_same_market_have_no_drift_and_newer_cars_have(stored, active, cars, tmp_path):
    write_log(tmp_path, records(cars, "2026-11-03", version=active))
    newer = cars[cars["year"] >= 2018]
    write_log(tmp_path, records(newer, "2026-11-10", version=active), "api-2")
    report = drift_report(stored, tmp_path, **DAYS)
    same, later = report.periods
    assert (same.label, later.label) == ("2026-W45", "2026-W46")
    assert all(psi.value is None or psi.value < 0.1 for psi in same.psi.values())
    assert str(later.psi["year"].level) == str(later.psi["price"].level) == "significant"
    assert same.psi["fuel"].cars == pytest.approx(len(cars), rel=0.02)
    assert report.whole.cars == same.cars + later.cars
    assert report.shifts["year"][0].now > report.shifts["year"][0].trained


def test_single_cars_jobs_and_batches_count_alike(stored, active, cars, tmp_path):
    day = "2026-11-03"
    third = len(cars) // 3
    write_log(tmp_path, records(cars[:third], day, version=active))
    write_log(
        tmp_path, records(cars[third : 2 * third], day, version=active, job="01job"), "worker-1"
    )
    write_segment(tmp_path, day, records(cars[2 * third :], day, version=active))
    whole = drift_report(stored, tmp_path, **DAYS).whole
    assert whole.psi["model"].cars == whole.cars == pytest.approx(len(cars), rel=0.02)
    assert str(whole.psi["year"].level) == "stable"


def test_a_repeated_request_counts_once_and_equal_rows_of_a_file_each(
    stored, active, cars, tmp_path
):
    one = cars[:1]
    for number in range(30):
        write_log(tmp_path, records(one, "2026-11-03", version=active), f"api-{number}")
    write_log(tmp_path, records(cars[1:400], "2026-11-03", version=active), "api-others")
    before = drift_report(stored, tmp_path, **DAYS)
    assert before.whole.cars <= 400
    assert before.records.repeated >= 29
    stock = cars[400:401].loc[[400] * 300]
    write_segment(tmp_path, "2026-11-03", records(stock, "2026-11-03", version=active))
    assert drift_report(stored, tmp_path, **DAYS).whole.cars == before.whole.cars + 300
    # The same file again, in the column order of the file, repeats its rows.
    write_segment(tmp_path, "2026-11-04", records(stock, "2026-11-04", version=active), "01m8other")
    assert drift_report(stored, tmp_path, **DAYS).whole.cars == before.whole.cars + 300


def test_the_price_counts_only_cars_that_the_version_priced(stored, active, cars, tmp_path):
    write_log(tmp_path, records(cars[:1000], "2026-11-03", version=active))
    write_log(
        tmp_path, records(cars[1000:], "2026-11-03", version="older", prices=[1e6] * 1500), "w"
    )
    report = drift_report(stored, tmp_path, **DAYS)
    assert report.whole.psi["price"].cars < 1001 < report.whole.psi["year"].cars
    assert value(report, "price") < 0.1
    assert any("other versions priced" in note for note in report.notes())


def test_failed_and_damaged_records_are_left_out_and_counted(stored, active, cars, tmp_path):
    found = records(cars[:300], "2026-11-03", version=active)
    failed = [dataclasses.replace(each, estimate=None, error="x") for each in found[:7]]
    write_log(tmp_path, [*failed, *found[7:]])
    path = next(tmp_path.glob("*.jsonl"))
    path.write_bytes(path.read_bytes() + b'{"id":"a"}\nnot json\n[]\n{"cut')
    report = drift_report(stored, tmp_path, **DAYS)
    assert (report.records.failed, report.records.unreadable) == (7, 3)
    assert report.whole.cars <= 293


def test_a_sampled_day_gives_the_figures_of_the_whole_day_and_says_so(stored, active, tmp_path):
    many = drawn_listings(12_000, seed=3).sort_values("company")
    write_log(tmp_path, records(many[many["year"] >= 2016], "2026-11-03", version=active))
    whole = drift_report(stored, tmp_path, **DAYS, max_records_per_day=0)
    sample = drift_report(stored, tmp_path, **DAYS, max_records_per_day=2_000)
    assert sample.whole.cars < 3_000 < whole.whole.cars
    assert sample.records.estimated == pytest.approx(whole.records.read, rel=0.1)
    for name in ("year", "km_driven", "price"):
        assert sample.whole.psi[name].value == pytest.approx(whole.whole.psi[name].value, rel=0.3)
    assert any("sampled" in note for note in sample.notes())


def test_few_cars_have_no_psi_and_the_report_says_how_many_are_needed(run, active, cars, tmp_path):
    write_log(tmp_path / "audit", records(cars[:40], "2026-11-03", version=active))
    answer = run()
    assert answer.exit_code == 0
    assert "Too few cars for a PSI" in answer.output
    assert re.search(r"^year +- +- +\d\d +too few \(\d+ needed\)", answer.output, re.MULTILINE)
    found = json.loads(run("--json").output)
    assert found["fields"]["year"]["psi"] is None
    assert found["fields"]["year"]["level"] == "too-few"


def test_the_report_by_day_and_as_one_file_with_inline_plots(run, active, cars, tmp_path):
    for number in range(3):
        day = f"2026-11-0{number + 3}"
        part = cars[800 * number : 800 * number + 800]
        write_log(tmp_path / "audit", records(part, day, version=active), f"api-{number}")
    page = tmp_path / "report.html"
    answer = run("--by", "day", "--output", str(page), "--json")
    assert answer.exit_code == 0
    found = json.loads(answer.stdout)
    assert [each["period"] for each in found["periods"]] == [
        "2026-11-03",
        "2026-11-04",
        "2026-11-05",
    ]
    assert found["version"] == active
    text = page.read_text("utf-8")
    assert text.count("data:image/png;base64,") >= 2
    assert not re.search(r"(src|href)=\"(?!data:)", text), "it loads nothing"
    assert "2026-11-04" in run("--by", "day").output


def test_a_field_that_callers_state_more_often_has_no_drift_among_its_values(
    stored, active, cars, tmp_path
):
    stating = cars[cars["owner"].notna()]
    write_log(tmp_path, records(stating, "2026-11-03", version=active))
    whole = drift_report(stored, tmp_path, **DAYS).whole
    assert str(whole.psi["owner"].level) == "significant"
    assert str(whole.given["owner"].level) == "stable"
    assert whole.given["torque_nm"] is None, "the training data hardly have it"
    # Every car has a price; what is subtracted from either PSI is simulated with other draws.
    assert whole.given["price"].value == pytest.approx(whole.psi["price"].value, abs=0.001)


NOTHING = {
    "no-records": "does not exist: nothing has been valued yet",
    "no-records-in-period": "it has some from 2026-08-01 to 2026-08-01",
    "no-valuations": "no priced car",
    "no-profile": "trained by a release that stored no profile",
    "no-model": "no model is active",
}


@pytest.mark.parametrize("code", NOTHING)
def test_without_anything_to_compare_the_exit_code_is_2_and_the_reason_is_told(  # noqa: PLR0917
    code, run, active, cars, tmp_path, monkeypatch, saved
):
    day = "2026-08-01" if code == "no-records-in-period" else "2026-11-03"
    found = records(cars[:5], day, version=active)
    if code == "no-valuations":
        found = [dataclasses.replace(each, estimate=None, error="x") for each in found]
    if code != "no-records":
        write_log(tmp_path / "audit", found)
    if code in {"no-profile", "no-model"}:
        path = shutil.copytree(saved, tmp_path / "versions")
        monkeypatch.setenv("MODELS_PATH", str(path))
        if code == "no-profile":
            ModelRegistry(path).activate(next(path.glob("20*")).name, by="test")
    answer = run()
    assert answer.exit_code == 2
    assert NOTHING[code] in answer.output
    assert json.loads(run("--json").stdout)["error"] == code


def test_a_folder_of_other_files_is_told_from_a_service_without_valuations(run, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    assert f"{folder} is empty: nothing has been valued yet" in run("--folder", str(folder)).output
    (folder / "export.jsonl").write_text("{}\n")
    output = run("--folder", str(folder)).output
    assert "none of its 1 files is named as the audit log names them" in output
    assert "nothing has been valued" not in output
    (folder / "predictions_2026-11-03.api-1.jsonl").touch()
    assert "its files are empty" in run("--folder", str(folder)).output


def test_an_output_that_cannot_be_written_is_refused_by_its_name_before_the_log_is_read(
    run, tmp_path, active, cars
):
    missing = tmp_path / "missing" / "x.html"
    answer = run("--output", str(missing))
    assert answer.exit_code == 2
    assert f"{missing} cannot be written: {missing.parent} is no folder" in answer.output
    assert "audit records" not in answer.output, "the log was not read"
    write_log(tmp_path / "audit", records(cars[:40], "2026-11-03", version=active))
    answer = run("--output", f"{tmp_path}/{'x' * 300}.html")
    assert answer.exit_code == 2
    assert "File name too long" in answer.output
    assert not list(tmp_path.glob(".x*"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--days", "800000"], "36500"),
        (["--days", "36500", "--to", "0001-01-10"], "no records from 0001-01-01 to 0001-01-10"),
    ],
)
@pytest.mark.usefixtures("run")
def test_more_days_than_the_calendar_has_are_no_crash(tmp_path, cars, options, reason):
    write_log(tmp_path / "audit", records(cars[:5], "2026-11-03"))
    answer = CliRunner().invoke(main, ["drift", *options])
    assert answer.exit_code == 2
    assert reason in answer.output


def test_ranges_that_contradict_each_other_are_refused(run):
    assert run("--days", "3").exit_code == 2
    assert (
        CliRunner().invoke(main, ["drift", "--from", "2026-11-09", "--to", "2026-11-01"]).exit_code
        == 2
    )


def test_a_profile_survives_storage_and_a_damaged_one_is_refused(
    stored, active, listings, tmp_path
):
    path = shutil.copytree(stored, tmp_path / "copy")
    profile = read_profile(path, active)
    assert profile == training_profile(listings, listings["price_mad"].to_numpy())
    file = path / active / "profile.json"
    file.write_bytes(file.read_bytes().replace(b"diesel", b"petrol").replace(b"Diesel", b"Petrol"))
    with pytest.raises(ModelRefused):
        read_profile(path, active)


def test_the_profile_names_no_value_of_fewer_than_ten_listings(listings):
    profile = training_profile(listings, listings["price_mad"].to_numpy())
    for name, field in profile.fields.items():
        assert sum(field.shares) == pytest.approx(1, abs=1e-4)
        for label, share in zip(field.categories or (), field.shares, strict=False):
            assert share * profile.rows >= 9.5, (name, label)
        if field.categories is None:
            assert all(share * profile.rows >= 10 for share in field.shares[:-1] if field.edges)


@pytest.mark.parametrize("stated", [1, 9, 14, 25, 60, 150, 800])
def test_an_interval_holds_ten_listings_and_its_edges_are_rounded(listings, stated):
    random = np.random.default_rng(stated)
    values = np.full(800, np.nan)
    values[:stated] = random.lognormal(11, 0.7, size=stated).round()
    profile = training_profile(listings[:800].assign(km_driven=values), np.full(800, 1e5))
    field = profile.fields["km_driven"]
    intervals = [share * 800 for share in field.shares[:-1]]
    assert field.categories is None or stated <= 12
    if field.categories is None:
        assert len(intervals) <= max(1, stated // 10)
        assert len(intervals) == 1 or min(intervals) >= 9.9
        assert len(intervals) >= (0.5 * min(10, stated // 10))
        assert not set(field.edges) & set(values[:stated].tolist())


def test_a_rare_number_below_a_common_one_has_no_interval_of_its_own(listings):
    values = np.repeat(500_000.0, 800)
    values[:20] = np.arange(20) * 1_000.0 + 11
    values[20:25] = np.arange(5) + 900_000.0
    field = training_profile(listings[:800].assign(km_driven=values), np.full(800, 1e5)).fields[
        "km_driven"
    ]
    assert all(share * 800 >= 9.9 for share in field.shares[:-1])


def test_values_belong_to_one_bin_each():
    field = FieldProfile(categories=None, edges=(10.0, 20.0), shares=(0.2, 0.3, 0.4, 0.1))
    assert [field.bin_of(value) for value in (-1, 9.9, 10, 15, 20, 1e9, None)] == [
        0,
        0,
        1,
        1,
        2,
        2,
        3,
    ]
    names = FieldProfile(categories=("5", "3"), edges=(), shares=(0.5, 0.2, 0.2, 0.1))
    assert [names.bin_of(value) for value in (5, 5.0, 3, 4, None)] == [0, 0, 1, 2, 3]
    profile = TrainingProfile(rows=7, fields={"a": field, "b": names})
    assert TrainingProfile.from_json(json.loads(json.dumps(profile.to_json()))) == profile
