"""Uploads files of listings as they are, and prints how many rows are valued and how names match.

Needs a running service: `python -m scripts.measure_real_input listings.csv.gz more.csv.gz`. The
files may be compressed; they are sent decompressed, without options.
"""

import argparse
import gzip
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from client.sync import CarPriceClient

REASONS_SHOWN = 10


def main() -> None:
    """Measure each file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    given = parser.parse_args()
    with CarPriceClient(given.url) as client:
        for file in given.files:
            measure(client, file)


def measure(client: CarPriceClient, file: Path) -> None:
    """Print the share of valued rows, the rows by match and the reasons of rejected rows."""
    with tempfile.TemporaryDirectory() as name:
        batch, rows = value(client, file, Path(name))
        statuses, matches = Counter[str](), Counter[str]()
        for row in rows:
            statuses[row["row_status"]] += 1
            matches[row["match"] or "none"] += 1
    total = statuses.total()
    print(f"{file.name}: {statuses['valued']} of {total} rows valued, "
          f"{statuses['valued'] / total:.2%}")  # fmt: skip
    for match, count in matches.most_common():
        print(f"  match {match}: {count}, {count / total:.2%}")
    for notice in batch["input"]["notices"]:
        print(f"  notice {notice['code']}: {notice['detail']}")
    reasons = Counter(
        f"{error.column or '-'}: {error.code}" for error in client.batch_errors(batch["id"])
    )
    for reason, count in reasons.most_common(REASONS_SHOWN):
        print(f"  rejected for {reason}: {count}")


def value(
    client: CarPriceClient, file: Path, folder: Path
) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """Upload a file and wait for its end.

    Args:
        client: of the service.
        file: plain, or compressed with gzip.
        folder: for the decompressed file and the results.

    Returns:
        The batch resource, and the rows of its results.
    """
    plain = folder / file.name.removesuffix(".gz")
    open_file = gzip.open if file.suffix == ".gz" else open
    with open_file(file, "rb") as source, plain.open("wb") as target:
        shutil.copyfileobj(source, target)
    batch = client.submit_file(plain).wait()
    if batch.error is not None:
        raise SystemExit(f"{file.name}: {batch.error}")
    results = client.download_results(batch.id, folder / "results.ndjson", form="ndjson")
    return dict(batch.raw), _rows(results)


def _rows(results: Path) -> Iterator[dict[str, Any]]:
    with results.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


if __name__ == "__main__":
    main()
