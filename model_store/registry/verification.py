"""Checks of a version before any of its files is parsed. Standard library only."""

import hashlib
from importlib import metadata
from pathlib import Path

from model_store.registry.manifest import READABLE_SCHEMAS, ModelVersion
from shared.domain.errors import ModelRefused
from shared.i18n.command import gettext as _
from shared.i18n.command import os_reason

SCIKIT_LEARN = "scikit-learn"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_version(folder: Path, version: ModelVersion) -> None:
    """Check a version's schema, libraries and files.

    Raises:
        ModelRefused: `reason` describes what is wrong and what was expected.
    """
    check_schema(version)
    check_scikit_learn(version)
    check_files(folder, version)


def check_schema(version: ModelVersion) -> None:
    """Refuse a schema that this program does not read."""
    if version.schema_version not in READABLE_SCHEMAS:
        *others, last = map(str, READABLE_SCHEMAS)
        readable = f"{', '.join(others)} and {last}"
        raise ModelRefused(
            version=version.id,
            reason=_("schema {schema_version}, this program reads {readable}").format(
                schema_version=version.schema_version, readable=readable
            ),
        )


def check_scikit_learn(version: ModelVersion) -> None:
    """Refuse a forest trained by a minor release other than the installed one.

    Serving does not unpickle the estimator, but `load_estimator` does. Without an installed
    scikit-learn (an API process does not need it) nothing is compared.
    """
    try:
        installed = metadata.version(SCIKIT_LEARN)
    except metadata.PackageNotFoundError:
        return
    trained = version.libraries.get(SCIKIT_LEARN, "unknown")
    if _minor(trained) != _minor(installed):
        raise ModelRefused(
            version=version.id,
            reason=_(
                "trained with {library} {trained}, installed is {installed}; train again"
            ).format(library=SCIKIT_LEARN, trained=trained, installed=installed),
        )


def check_files(folder: Path, version: ModelVersion) -> None:
    """Refuse files that are missing or differ from their digest."""
    for name, digest in version.files.items():
        if Path(name).name != name:
            raise ModelRefused(
                version=version.id, reason=_("{name} is not a file name").format(name=f"{name!r}")
            )
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            reason = _("{name} cannot be read: {reason}").format(name=name, reason=os_reason(error))
            raise ModelRefused(version=version.id, reason=reason) from error
        if found != digest:
            raise ModelRefused(
                version=version.id,
                reason=_("{name} has the digest {found}, the manifest says {digest}").format(
                    name=name, found=found[:12], digest=digest[:12]
                ),
            )


def _minor(release: str) -> tuple[str, ...]:
    return tuple(release.split(".")[:2])
