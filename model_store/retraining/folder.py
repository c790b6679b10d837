"""Loads all listing files of a folder."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data.listings.files import ListingsError
from data.listings.loading import load_listings
from data.listings.report import LoadReport

SUFFIXES = (".csv", ".csv.gz")


def load_folder(folder: Path) -> tuple[pd.DataFrame, Sequence[LoadReport]]:
    """Load the files of a folder, in the order of their names; repeated rows count once.

    Raises:
        ListingsError: the folder is missing or has no listing file, or a file cannot be used.
    """
    if not folder.is_dir():
        raise ListingsError(f"{folder} is not a folder")
    paths = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES))
    if not paths:
        raise ListingsError(f"{folder} has no listing file ({', '.join(SUFFIXES)})")
    loaded = [load_listings(path) for path in paths]
    table = pd.concat([listings for listings, _ in loaded], ignore_index=True)
    return table.drop_duplicates(ignore_index=True), [report for _, report in loaded]
