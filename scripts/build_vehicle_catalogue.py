"""Writes `shared/vehicles/catalogue.json` from names: `python -m scripts.build_vehicle_catalogue`.

Sources: `scripts/vehicle_names.txt`, and the reference market, whose names are the canonical names
of its vehicles. Listings files named as arguments give the number of listings of each model (counts
below ten are not written); without arguments the counts of the present catalogue are kept.
"""

import argparse
import csv
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from shared.domain.names import fold_name
from shared.domain.reading import Match, NamesMissing
from shared.vehicles.catalogue import Catalogue, compact

ROOT = Path(__file__).parents[1]
NAMES = ROOT / "scripts" / "vehicle_names.txt"
MARKET = ROOT / "data" / "market" / "reference_market.json"
CATALOGUE = ROOT / "shared" / "vehicles" / "catalogue.json"
MIN_LISTINGS = 10
_ENTRY = re.compile(
    r"(?P<display>[^=\[]+?)\s*(?:\[(?P<generations>\d+)\])?\s*(?:=(?P<aliases>.*))?"
)

Content = dict[str, Any]


def main() -> None:
    """Build the catalogue and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("listings", nargs="*", type=Path, help="CSV files with company and model")
    paths = parser.parse_args().listings
    content = read_names_file(NAMES.read_text(encoding="utf-8"))
    add_market(content, json.loads(MARKET.read_text())["hedonic"]["vehicle_years"])
    check_rebadged(content)
    counts = count_listings(Catalogue(content), paths) if paths else present_counts()
    add_counts(content, counts)
    CATALOGUE.write_text(dump(content), encoding="utf-8")


def read_names_file(text: str) -> Content:
    """Brands, models and rebadged models of the hand-written file."""
    brands: dict[str, Content] = {}
    rebadged = []
    models: dict[str, Content] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if ">" in line:
            sides = [[fold_name(name) for name in side.split(",")] for side in line.split(">")]
            rebadged.append([*sides[0], *sides[1]])
        elif line.startswith(" "):
            models.update(map(_entry, line.split(";")))
        else:
            name, brand = _entry(line)
            models = brand["models"] = {}
            brands[name] = brand
    return {"brands": brands, "rebadged": rebadged}


def _entry(text: str) -> tuple[str, Content]:
    """The folded name and the content of one entry."""
    found = _ENTRY.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"no entry: {text!r}")
    display = found["display"]
    content: Content = {"name": display}
    if found["generations"]:
        content["generations"] = [0] * int(found["generations"])
    if found["aliases"]:
        content["aliases"] = [fold_name(alias) for alias in found["aliases"].split(",")]
    return fold_name(display), content


def add_market(content: Content, vehicles: Iterable[str]) -> None:
    """Give the vehicles of the reference market their names there.

    Raises:
        ValueError: a vehicle is missing in the hand-written file.
    """
    for vehicle in vehicles:
        company, model = vehicle.split("|")
        models = content["brands"][company]["models"]
        same = next((name for name in models if compact(name) == compact(model)), None)
        if same is not None:
            content["brands"][company]["models"] = {
                model if name == same else name: each for name, each in models.items()
            }
        elif model != "other" and not _is_generation(models, model):
            raise ValueError(f"{vehicle} is missing in {NAMES.name}")


def _is_generation(models: Mapping[str, Content], name: str) -> bool:
    base, _, number = name.rpartition(" ")
    return base in models and int(number) <= len(models[base].get("generations", ()))


def check_rebadged(content: Content) -> None:
    """Check that the models sold under another brand exist.

    Raises:
        ValueError: one does not.
    """
    for company, model, to_company, to_model in content["rebadged"]:
        if to_model not in content["brands"][to_company]["models"]:
            raise ValueError(f"{company} {model}: there is no {to_company} {to_model}")


def listed_names(paths: Iterable[Path]) -> Counter[tuple[str, str]]:
    """The folded names of brands and models in listings files, with their numbers of rows."""
    found: Counter[tuple[str, str]] = Counter()
    for path in paths:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found[fold_name(row["company"]), fold_name(row["model"])] += 1
    return found


def count_listings(known: Catalogue, paths: Iterable[Path]) -> Counter[tuple[str, str]]:
    """Number of listings by canonical name."""
    from shared.vehicles.reading import NameReader  # noqa: PLC0415 - needs no catalogue file

    reader = NameReader(known)
    counts: Counter[tuple[str, str]] = Counter()
    for (company, model), listings in listed_names(paths).items():
        try:
            reading = reader.read(company, model)
        except NamesMissing:
            continue
        if reading.match in {Match.EXACT, Match.ALIAS}:
            counts[reading.company, reading.model] += listings
        elif listings >= MIN_LISTINGS:
            print(f"not in {NAMES.name}: {company} {model} ({listings} listings)")
    return counts


def present_counts() -> Mapping[tuple[str, str], int]:
    """Counts of the catalogue that is already there."""
    if not CATALOGUE.exists():
        return {}
    counts = {}
    for company, brand in json.loads(CATALOGUE.read_bytes())["brands"].items():
        for model, each in brand["models"].items():
            counts[company, model] = each.get("listings", 0)
            for number, listings in enumerate(each.get("generations", ()), start=1):
                counts[company, f"{model} {number}"] = listings
    return counts


def add_counts(content: Content, counts: Mapping[tuple[str, str], int]) -> None:
    """Enter the number of listings of each model and generation."""

    def count(company: str, model: str) -> int:
        listings = counts.get((company, model), 0)
        return listings if listings >= MIN_LISTINGS else 0

    for company, brand in content["brands"].items():
        for model, each in brand["models"].items():
            if listings := count(company, model):
                each["listings"] = listings
            if "generations" in each:
                numbers = range(1, len(each["generations"]) + 1)
                each["generations"] = [count(company, f"{model} {number}") for number in numbers]


def dump(content: Content) -> str:
    """JSON with one model a line, in the order of the names."""

    def line(each: Any) -> str:
        return json.dumps(each, ensure_ascii=False)

    brands = []
    for name, brand in sorted(content["brands"].items()):
        models = [
            f"    {line(model)}: {line(each)}" for model, each in sorted(brand["models"].items())
        ]
        head = {key: value for key, value in brand.items() if key != "models"}
        start = line(head).removesuffix("}")
        brands.append(f'  {line(name)}: {start}, "models": {{\n' + ",\n".join(models) + "}}")
    rebadged = ",\n".join(f"  {line(each)}" for each in content["rebadged"])
    return '{"brands": {\n' + ",\n".join(brands) + '\n},\n"rebadged": [\n' + rebadged + "\n]}\n"


if __name__ == "__main__":
    main()
