# ruff: noqa: INP001 - a program of the build of an image, of no package
"""Removes from installed packages what the API never reads: `slim_packages.py SITE_PACKAGES`.

Languages that the service does not speak, descriptions of cloud services other than the object
store, and the second implementation of a codec: together a third of the files.
"""

import shutil
import sys
from pathlib import Path

LANGUAGES = ("root", "en", "fr", "ar")
"""Of babel; a territory like `ar_MA` belongs to its language."""

CLOUD_SERVICES = {"s3", "sts", "sso", "sso-oidc", "signin"}
"""Of botocore: the object store, and the sources of its credentials."""

UNUSED = ("zstandard/_cffi*.so", "**/tests", "**/test", "pip", "setuptools", "wcwidth/__pycache__")
"""Patterns; the codec has an implementation in C besides."""


def slim(packages: Path) -> int:
    """Remove what is not needed; return the bytes that stay."""
    for file in (packages / "babel" / "locale-data").glob("*.dat"):
        if file.stem.partition("_")[0] not in LANGUAGES:
            file.unlink()
    for folder in (packages / "botocore" / "data").glob("*/"):
        if folder.name not in CLOUD_SERVICES:
            shutil.rmtree(folder)
    for pattern in UNUSED:
        for path in list(packages.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.stdout.write(f"{slim(Path(sys.argv[1])) / 1e6:.0f} MB\n")
