"""Usual values come from what the listings of a model and its near years state."""

import json
from pathlib import Path
from typing import Any

import pytest

from api.suggestions.usual import UsualValues, usual_values
from model_store.registry.bundle import load_model, save_bundle
from shared.domain.car import CarFeatures
from tests.unit.model_store import small_models


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("models")
    return path, str(save_bundle(small_models.train(), path).id)


def changed(registry: tuple[Path, str], tmp_path: Path, **members: Any) -> Path:
    """A version like the trained one, with other statistics."""
    path, version = registry
    given = json.loads((path / version / "usual.json").read_bytes())
    (tmp_path / "usual.json").write_text(json.dumps(given | members))
    (tmp_path / "manifest.json").write_bytes((path / version / "manifest.json").read_bytes())
    return tmp_path


KINDS = {
    "dacia|logan": {
        "Diesel|Manual": {"2018": 60.0, "2019": 60.0},
        "Petrol|Manual": {"2018": 30.0},
        "Diesel|Automatic": {"2018": 1.0},
        "Petrol|Automatic": {"2010": 90.0},
    },
    "kia|rio": {"Petrol|Manual": {"2018": 4.0}},
}


def test_values_are_ordered_by_their_share_near_the_year(
    registry: tuple[Path, str], tmp_path: Path
) -> None:
    powers = {"dacia|logan": {"Diesel|Manual": {"6": 80.0, "5": 20.0}}}
    folder = changed(registry, tmp_path, kinds=KINDS, powers=powers)
    found = usual_values(folder, "dacia", "logan", 2018)
    assert [(one.value, one.share) for one in found.fuel] == [("Diesel", 0.752), ("Petrol", 0.248)]
    assert [one.value for one in found.transmission] == ["Manual"], "rare ones are left out"
    assert [(one.value, one.share) for one in found.fiscal_power_cv] == [(6, 0.8), (5, 0.2)]


@pytest.mark.parametrize(
    ("company", "model", "year"),
    [("kia", "rio", 2018), ("dacia", "logan", 2001), ("nobody", "x", 2018)],
)
def test_few_listings_say_nothing(
    registry: tuple[Path, str], tmp_path: Path, company: str, model: str, year: int
) -> None:
    folder = changed(registry, tmp_path, kinds=KINDS)
    assert usual_values(folder, company, model, year) == UsualValues()


def test_the_kilometres_are_those_of_the_typical_car_of_an_explanation(
    registry: tuple[Path, str],
) -> None:
    path, version = registry
    model = load_model(path, version)
    given = json.loads((path / version / "usual.json").read_bytes())
    compared = 0
    for vehicle in given["kinds"]:
        company, _, name = vehicle.partition("|")
        for year in (2012, 2016, 2020):
            usual = usual_values(path / version, company, name, year)
            if not name or not usual.fuel:
                continue
            car = CarFeatures(company=company, model=name, year=year)
            typical = model.typical(car, model.estimate([car])[0])
            if typical is None or typical.fuel != usual.fuel[0].value:
                continue
            compared += typical.transmission == usual.transmission[0].value
            assert usual.km_driven == typical.km_driven
    assert compared


@pytest.mark.parametrize("content", [None, "", "[]", "{}"])
def test_versions_without_readable_statistics_have_no_usual_values(
    registry: tuple[Path, str], tmp_path: Path, content: str | None
) -> None:
    folder = changed(registry, tmp_path)
    (folder / "usual.json").unlink()
    if content is not None:
        (folder / "usual.json").write_text(content)
    assert usual_values(folder, "dacia", "logan", 2018) == UsualValues()
    assert usual_values(None, "dacia", "logan", 2018) == UsualValues()
