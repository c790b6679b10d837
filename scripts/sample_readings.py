"""Draws a sample of listings with the car that the service reads in each, to be checked by hand.

Needs a running service: `python -m scripts.sample_readings --out sample.csv listings.csv.gz`. The
sample contains rows of the listings; its file must lie outside the repository.
"""

import argparse
import csv
import random
import tempfile
from pathlib import Path
from typing import Any

from client.sync import CarPriceClient
from scripts.measure_real_input import value

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = (
    "company", "model", "edition", "year", "fuel", "transmission", "km_driven", "read_as", "match",
    "suggestions", "row_notes", "row_status", "row_error",
)  # fmt: skip


def main() -> None:
    """Write the sample of the files that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    given = parser.parse_args()
    if given.out.resolve().is_relative_to(ROOT):
        parser.error(f"--out: outside {ROOT}, so that no listing is committed")
    with CarPriceClient(given.url) as client:
        rows = [row for file in given.files for row in read(client, file)]
    # The seed makes the sample repeatable.
    chosen = random.Random(given.seed).sample(rows, min(given.rows, len(rows)))  # noqa: S311
    write(chosen, given.out)


def read(client: CarPriceClient, file: Path) -> list[dict[str, Any]]:
    """The result of each row of a file."""
    with tempfile.TemporaryDirectory() as name:
        _, rows = value(client, file, Path(name))
        return list(rows)


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the columns to check, and an empty one for the verdict."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, (*COLUMNS, "is_right"), restval="", extrasaction="ignore", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
