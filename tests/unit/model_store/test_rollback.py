"""A version that is worse on reported sales is rolled back once, and nothing flaps."""

import dataclasses

import numpy as np
import pytest

from model_store.drift.sale_reports import sale_reports
from model_store.drift.sales import (
    compare_sales,
    counted_sales,
    errors_by_version,
)
from model_store.registry.bundle import save_bundle
from model_store.registry.history import Action, append_activation
from model_store.registry.registry import ModelRegistry
from model_store.retraining.rollback import (
    AUTOMATIC,
    checked_registry,
    compare_with_previous,
    roll_back_if_worse,
)
from shared.domain.errors import ModelRefused, NoEarlierModel
from shared.settings import Settings
from tests.unit.model_store.sale_logs import errors_of, report_sales, reports_of


@pytest.fixture(scope="module")
def two_versions(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("two")
    return path, [save_bundle(trained, path).id for _ in range(3)]


@pytest.fixture
def registry(two_versions, tmp_path):
    """A registry in which the second version was activated after the first."""
    path = tmp_path / "versions"
    path.mkdir()
    for version in two_versions[1]:
        (path / version).symlink_to(two_versions[0] / version)
    registry = ModelRegistry(path)
    for version in two_versions[1][:2]:
        registry.activate(version, by="test")
    return registry


@pytest.fixture
def old(two_versions):
    return two_versions[1][0]


@pytest.fixture
def new(two_versions):
    return two_versions[1][1]


def sales(  # noqa: PLR0917
    old, new, old_median=0.08, new_median=0.14, count=120, callers=12
):
    """Reports on both versions."""
    return [
        *reports_of(old, errors_of(old_median, count, 1), callers),
        *reports_of(new, errors_of(new_median, count, 2), callers, start=count),
    ]


def test_a_version_with_larger_errors_is_rolled_back_once(registry, old, new):
    decision = roll_back_if_worse(registry, sales(old, new))
    assert (decision.rolled_back, decision.active, registry.active_version()) == (True, old, old)
    assert registry.history()[-1].by == AUTOMATIC
    assert "significantly larger" in decision.reason
    again = roll_back_if_worse(registry, sales(old, new))
    assert (again.rolled_back, registry.active_version()) == (False, old)
    reversed_errors = sales(old, new, old_median=0.3)
    assert not roll_back_if_worse(registry, reversed_errors).rolled_back, "nor to the one before"


def test_a_bad_version_is_not_hidden_by_another_one_that_follows_it(
    registry, two_versions, old, new
):
    third = two_versions[1][2]
    registry.activate(third, by="operator")
    reports = [
        *sales(old, new, new_median=0.2),
        *reports_of(third, errors_of(0.2, 120, 3), 12, start=500),
    ]
    alone = [each for each in reports if each.model_version != old]
    assert not roll_back_if_worse(registry, alone).rolled_back
    decision = roll_back_if_worse(registry, reports)
    assert (decision.rolled_back, registry.active_version()) == (True, old)
    assert decision.comparison.previous == old
    last = registry.history()[-1]
    assert (last.action, last.version, last.previous) == (Action.ROLLBACK, old, third)
    with pytest.raises(NoEarlierModel):
        registry.rollback(by="operator")


def test_the_latest_version_that_is_better_is_returned_to(registry, two_versions, old, new):
    third = two_versions[1][2]
    registry.activate(third, by="operator")
    reports = [
        *sales(old, new, new_median=0.08),
        *reports_of(third, errors_of(0.2, 120, 3), 12, start=500),
    ]
    assert roll_back_if_worse(registry, reports).active == new
    with pytest.raises(NoEarlierModel):
        registry.rollback(by="operator", to=third)


def test_a_version_that_a_person_activates_again_stays(registry, old, new):
    roll_back_if_worse(registry, sales(old, new))
    registry.activate(new, by="operator")
    decision = roll_back_if_worse(registry, sales(old, new))
    assert (decision.rolled_back, registry.active_version()) == (False, new)
    assert "activated again by operator" in decision.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"count": 49}, "50 of each are needed"),
        ({"new_median": 0.08}, "is not significantly larger"),
        ({"new_median": 0.05}, "is not significantly larger"),
        ({"new_median": 0.0845, "count": 1_000}, "is not significantly larger"),
    ],
)
def test_few_reports_equal_and_slightly_larger_errors_change_nothing(
    registry, old, new, change, reason
):
    decision = roll_back_if_worse(registry, sales(old, new, **change))
    assert (decision.rolled_back, registry.active_version()) == (False, new)
    assert reason in decision.reason


def test_without_reports_or_an_earlier_version_nothing_changes(registry, old, new):
    assert not roll_back_if_worse(registry, []).rolled_back
    alone = ModelRegistry(registry.folder(new).parent)
    alone.rollback(by="operator")
    decision = roll_back_if_worse(alone, sales(old, new))
    assert (decision.rolled_back, alone.active_version()) == (False, old)


def test_a_version_that_is_active_since_a_roll_back_is_not_judged(registry, two_versions, old, new):
    registry.activate(two_versions[1][2], by="operator")
    registry.rollback(by="operator")
    assert registry.active_version() == new
    decision = roll_back_if_worse(registry, sales(old, new))
    assert (decision.rolled_back, registry.active_version()) == (False, new)


def test_a_median_error_that_is_larger_by_less_than_a_tenth_changes_nothing(registry, old, new):
    found = [
        report
        for name, low in ((old, 0.080), (new, 0.085))
        for report in reports_of(name, np.linspace(low, low + 0.004, 400))
    ]
    decision = roll_back_if_worse(registry, found)
    assert decision.comparison is not None
    assert (decision.comparison.difference_low or 0.0) > 0
    assert (decision.rolled_back, registry.active_version()) == (False, new)


def test_a_comparison_alone_changes_nothing(registry, old, new):
    decision = compare_with_previous(registry, sales(old, new))
    assert decision.comparison.is_worse
    assert (decision.rolled_back, registry.active_version()) == (False, new)


def test_an_earlier_version_that_fails_its_checks_is_not_activated(
    two_versions, registry, old, new
):
    path = registry.folder(old)
    path.unlink()
    path.mkdir()
    for file in (two_versions[0] / old).iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    (path / "forest.npz").write_bytes(b"damaged")
    with pytest.raises(ModelRefused):
        roll_back_if_worse(checked_registry(Settings(models_path=path.parent)), sales(old, new))
    assert registry.active_version() == new


@pytest.mark.parametrize("callers", [1, 6])
def test_equal_versions_are_hardly_ever_told_apart(callers):
    wrong = 0
    for seed in range(6):
        both = [
            report
            for number, name in enumerate("ab")
            for report in reports_of(name, errors_of(0.09, 60, 2 * seed + number), callers)
        ]
        wrong += compare_sales(both, "b", "a").is_worse
    assert not wrong


def test_sales_of_fewer_than_five_callers_roll_nothing_back(registry, old, new):
    for callers in (1, 4):
        decision = roll_back_if_worse(registry, sales(old, new, new_median=0.3, callers=callers))
        assert (decision.rolled_back, registry.active_version()) == (False, new)
        assert decision.comparison.is_worse, "a person is told"
        assert "it is not rolled back" in decision.reason
    assert roll_back_if_worse(registry, sales(old, new, new_median=0.3, callers=5)).rolled_back


def flood(version, errors, start=5_000):
    return reports_of(version, errors, "mallory", start=start)


@pytest.mark.parametrize(("honest", "many"), [(60, 61), (500, 100)])
def test_one_caller_alone_cannot_force_a_roll_back(registry, honest, many):
    new = registry.active_version()
    old = registry.history()[0].version
    equal = sales(old, new, new_median=0.08, count=honest)
    attacks = {
        "absurd prices": flood(new, np.linspace(90, 99, many)),
        "high prices": flood(new, np.linspace(0.4, 0.6, many)),
        "false praise of the other": flood(old, np.linspace(0, 1e-6, many)),
    }
    attacks["both"] = attacks["high prices"] + attacks["false praise of the other"]
    for name, reports in attacks.items():
        decision = roll_back_if_worse(registry, equal + reports)
        assert (decision.rolled_back, registry.active_version()) == (False, new), name


def test_one_caller_cannot_hide_from_a_person_that_a_version_is_worse(registry, old, new):
    praise = flood(new, np.linspace(0, 1e-6, 3_000))
    decision = compare_with_previous(registry, sales(old, new, new_median=0.3) + praise)
    assert decision.comparison.is_worse
    assert "13 callers, the largest with 2" in decision.reason


def test_a_car_of_a_caller_counts_once_and_no_caller_for_more_than_a_fifth():
    same = reports_of("b", [0.5] * 70, "shop-1")
    assert len(counted_sales(same, "b").errors) == 1
    honest = reports_of("b", errors_of(0.08, 60, 1), 12)
    found = counted_sales(honest + flood("b", np.linspace(0.3, 0.5, 100)), "b")
    assert (len(found.errors), found.top_share) == (75, 0.2)


def test_sales_beyond_a_factor_of_three_are_left_out_unless_most_are():
    usual = reports_of("b", errors_of(0.08, 60, 1), 12)
    found = counted_sales(usual + reports_of("b", [99, 98, -0.9], 3, start=60), "b")
    assert (len(found.errors), found.left_out) == (60, 3)
    assert "without 3 beyond a factor of 3" in str(found)
    wrong = counted_sales(reports_of("b", np.linspace(9, 11, 60), 12), "b")
    assert (len(wrong.errors), wrong.left_out) == (60, 0)


def test_a_person_who_returns_to_an_earlier_version_is_not_overruled(registry, old, new):
    registry.activate(old, by="operator")
    decision = roll_back_if_worse(registry, sales(new, old))
    assert (decision.rolled_back, registry.active_version()) == (False, old)
    assert "was active before and was activated again by operator" in decision.reason


def test_a_version_whose_first_activation_was_cut_off_is_judged(registry, two_versions, old, new):
    third = two_versions[1][2]
    line = next(line for line in registry.history() if line.version == new)
    append_activation(
        registry.folder(old).parent, dataclasses.replace(line, version=third, previous=new)
    )
    registry.activate(third, by="operator")
    assert roll_back_if_worse(registry, sales(new, third)).rolled_back


def test_the_last_report_on_a_valuation_counts_and_the_files_of_all_writers(tmp_path):
    report_sales(tmp_path, "v1", [0.1, 0.2], "api-1")
    report_sales(tmp_path, "v2", [0.3], "api-2")
    reports = sale_reports(tmp_path)
    path = tmp_path / "outcomes_2026-09-21.api-9.jsonl"
    line = next(tmp_path.glob("outcomes_*.api-1.jsonl")).read_bytes().splitlines()[0]
    later = line.replace(b'"sale_price_mad":100000.0', b'"sale_price_mad":110000.0')
    path.write_bytes(later.replace(b'"at":1790000000.0', b'"at":1790000099.0') + b"\nnot json\n")
    corrected = sale_reports(tmp_path)
    assert len(reports) == len(corrected) == 3
    found = errors_by_version(corrected)
    assert sorted(found["v1"]) == pytest.approx([0.0, 0.2])
    assert found["v2"] == pytest.approx([0.3])
