"""The form in which a caller wants a result table."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from shared.domain.batch import BatchManifest, ExportFormat
from shared.domain.table import Dialect, FileKind

DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
DECIMAL_NAMES = {".": "point", ",": "comma"}


def result_delimiter(dialect: Dialect) -> str:
    """The delimiter of the stored results of a file: that of a CSV, otherwise the comma."""
    is_text = dialect.kind is FileKind.CSV and dialect.delimiter in DELIMITER_NAMES
    return dialect.delimiter if is_text else ","


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """A format with its options."""

    format: ExportFormat = ExportFormat.CSV
    delimiter: str | None = None
    """Of CSV; None: that of the stored table."""
    decimal: str = "."
    """Decimal sign of the added columns of CSV."""
    localized: bool = False
    """Whether the headers of the added columns are words."""
    language: str = ""
    """Language of these words; empty: that of the batch."""

    @property
    def suffix(self) -> str:
        """End of the name of its blob: equal exports have the same name.

        >>> Export(delimiter=";", decimal=",", localized=True).suffix
        'semicolon.decimal-comma.localized.csv'
        >>> Export(format=ExportFormat.EXCEL_FR).suffix
        'excel-fr.csv'
        """
        options = [
            DELIMITER_NAMES[self.delimiter] if self.delimiter else "",
            "" if self.decimal == "." else f"decimal-{DECIMAL_NAMES[self.decimal]}",
            "localized" if self.localized else "",
            self.language,
            "excel-fr.csv" if self.format is ExportFormat.EXCEL_FR else str(self.format),
        ]
        return ".".join(filter(None, options))

    def of(self, manifest: BatchManifest) -> Self:
        """The same export of a batch, without options that change nothing of it."""
        same = self
        if self.delimiter == manifest.result_delimiter:
            same = dataclasses.replace(same, delimiter=None)
        if self.language == manifest.options.language:
            same = dataclasses.replace(same, language="")
        return same

    def to_json(self) -> dict[str, str | bool | None]:
        """JSON-ready members; the inverse of `from_json`."""
        members: dict[str, str | bool | None] = {
            "format": str(self.format),
            "delimiter": self.delimiter,
            "decimal": self.decimal,
            "localized": self.localized,
        }
        # Workers of the last release know no language.
        return members | {"language": self.language} if self.language else members

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Rebuild the export from `to_json`'s members; only the format is required.

        Raises:
            TypeError: it has an option that this version does not know, which must not be ignored.
            ValueError: its format is unknown.
        """
        return cls(**{**members, "format": ExportFormat(members["format"])})


STORED = Export()
"""The table as workers store it."""
