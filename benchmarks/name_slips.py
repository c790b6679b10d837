"""Measures how misspelt model names are read: `python -m benchmarks.name_slips [LISTINGS ...]`.

Each model with enough listings gets slips of four kinds: a letter missing, doubled, replaced, or
transposed with its neighbour. Slips that spell another known name are left out and counted. With
listings files (CSV with the columns company and model), the names are those of the files, and the
share of their rows by match is printed too; without files, those of the catalogue.
"""

import argparse
import random
import string
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.build_vehicle_catalogue import listed_names
from shared.domain.reading import Match, NameReading, NamesMissing, VehicleName
from shared.vehicles.catalogue import catalogue, compact
from shared.vehicles.names import read_names

MIN_LISTINGS = 30
SEED = 20
Names = Mapping[tuple[str, str], int]
CERTAIN = frozenset({Match.EXACT, Match.ALIAS})


@dataclass(slots=True)
class SlipReport:
    """How slips were read."""

    slips: int = 0
    other_names: int = 0
    """Slips that spell another known name; they are not among `slips`."""
    found: int = 0
    """Read as the right car, or the right car is suggested."""
    silently_wrong: list[str] = field(default_factory=list)
    """Read as another car, as if it were certain."""
    wrongly_corrected: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Neither read nor suggested."""

    def count(self, slip: str, truth: VehicleName, reading: NameReading) -> None:
        """Count the reading of one slip."""
        self.slips += 1
        text = f"{truth.company} {slip} read as {reading.company} {reading.model}"
        if VehicleName(reading.company, reading.model) == truth:
            self.found += 1
        elif reading.match in CERTAIN:
            self.silently_wrong.append(text)
        elif reading.match is Match.CORRECTED:
            self.wrongly_corrected.append(text)
        elif truth in reading.suggestions:
            self.found += 1
        else:
            self.lost.append(text)


def slips(name: str, rng: random.Random) -> Iterator[str]:
    """One slip of each kind, at random places."""
    places = [place for place, character in enumerate(name) if character != " "]
    place = rng.choice(places)
    yield name[:place] + name[place + 1 :]
    place = rng.choice(places)
    yield name[: place + 1] + name[place:]
    place = rng.choice(places)
    alphabet = string.digits if name[place].isdigit() else string.ascii_lowercase
    other = rng.choice([letter for letter in alphabet if letter != name[place]])
    yield name[:place] + other + name[place + 1 :]
    pairs = [p for p in places if p + 1 in places and name[p] != name[p + 1]]
    if pairs:
        place = rng.choice(pairs)
        yield name[:place] + name[place + 1] + name[place] + name[place + 2 :]


def measure(names: Names, rounds: int = 3, seed: int = SEED) -> SlipReport:
    """Read slips of the folded (company, model) names with at least `MIN_LISTINGS` listings."""
    rng = random.Random(seed)
    report = SlipReport()
    known = {(company, compact(model)) for company, model in names}
    for (company, model), listings in sorted(names.items()):
        if listings < MIN_LISTINGS:
            continue
        right = read_names(company, model)
        truth = VehicleName(right.company, right.model)
        for _ in range(rounds):
            for slip in slips(model, rng):
                written = " ".join(slip.split())
                if not written or compact(written) == compact(model):
                    continue
                if (company, compact(written)) in known or _is_known(truth.company, written):
                    report.other_names += 1
                    continue
                report.count(written, truth, _read(company, written))
    return report


def _is_known(company: str, model: str) -> bool:
    brand = catalogue().brands.get(company)
    return brand is not None and compact(model) in brand.spellings


def _read(company: str, model: str) -> NameReading:
    try:
        return read_names(company, model)
    except NamesMissing:
        return NameReading(company, model, Match.UNKNOWN)


def catalogue_names() -> Names:
    """The names of the catalogue with their listings."""
    return {
        (brand.name, model.name): model.listings
        for brand in catalogue().brands.values()
        for model in brand.models.values()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("listings", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    names = listed_names(options.listings) if options.listings else catalogue_names()
    if options.listings:
        _print_matches(names)
    started = time.perf_counter()
    report = measure(names, options.rounds, options.seed)
    seconds = time.perf_counter() - started
    print(
        f"{report.slips} slips ({report.other_names} more spell another name):"
        f" {report.found / report.slips:.2%} read or suggested,"
        f" {len(report.wrongly_corrected) / report.slips:.2%} corrected to another car,"
        f" {len(report.silently_wrong)} silently another car;"
        f" {seconds / report.slips * 1e6:.0f} us each"
    )
    for text in (*report.silently_wrong, *report.wrongly_corrected, *report.lost):
        print(" ", text)


def _print_matches(names: Names) -> None:
    spellings: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    for (company, model), count in names.items():
        match = str(_read(company, model).match)
        spellings[match] += 1
        rows[match] += count
    for match, count in rows.most_common():
        share = count / rows.total()
        print(f"{match}: {spellings[match]} spellings, {count} rows ({share:.2%})")


if __name__ == "__main__":
    main()
