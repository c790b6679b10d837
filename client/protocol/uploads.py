"""What is sent with a file: its options, its name and where it goes."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict
from urllib.parse import quote

from .cars import path_part


class UploadOptions(TypedDict, total=False):
    """How a file is read; what is left out is detected."""

    dry_run: bool
    """Validate and report, value nothing."""
    on_error: Literal["continue", "abort"]
    """What to do at the first rejected row."""
    key_column: str | None
    """Column that names rows in the error report."""
    encoding: str | None
    delimiter: str | None
    """Of a CSV: a character or `comma`, `semicolon`, `tab`, `pipe`."""
    decimal: str | None
    """`,` or `.`."""
    columns: Mapping[str, str] | str | None
    """The column of a field by header, by position (`#5`), or empty for none."""
    constants: Mapping[str, str] | str | None
    """Values that hold for all rows."""
    units: Mapping[str, str] | str | None
    """The unit of a field's column, like `mi`, `kW` or, of asking prices, `EUR`."""
    header: bool | int | Literal["yes", "no"] | None
    """Whether the first row names the columns, or the number of the row that does, from 1."""
    sheet: str | int | None
    """Of a workbook, by name or number."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submission:
    """A file to be uploaded."""

    file: Path
    name: str | None = None
    """Sent instead of the name of `file`."""
    key: str | None = None
    """Idempotency key; one is made if it is None."""
    corrects: str | None = None
    """The batch whose rejected rows `file` holds, corrected; without options."""
    callback_url: str | None = None
    on_sent: Callable[[int], None] = lambda _: None
    """See `Upload`."""
    options: UploadOptions = dataclasses.field(default_factory=UploadOptions)

    @property
    def path(self) -> str:
        """Where it is sent."""
        if self.corrects is None:
            return "/batches"
        return f"/batches/{path_part(self.corrects)}/corrections"

    @property
    def params(self) -> dict[str, str]:
        """As query parameters."""
        params = {
            name: _header_text(value) if name == "header" else _option_text(value)
            for name, value in self.options.items()
            if value is not None
        }
        if self.callback_url is not None:
            params["callback_url"] = self.callback_url
        return params


def disposition(name: str) -> str:
    """`Content-Disposition` with a name in ASCII and, where it differs, in UTF-8 (RFC 6266)."""
    ascii_name = "".join(
        char if char.isascii() and char.isprintable() and char not in '"\\' else "_"
        for char in name
    )
    value = f'attachment; filename="{ascii_name}"'
    if ascii_name != name:
        value += f"; filename*=UTF-8''{quote(name.encode(errors='replace'), safe='')}"
    return value


def _header_text(value: Any) -> str:
    """`yes`, `no`, or the number of a row; without the sign, 1 and 0 mean yes and no."""
    is_row = isinstance(value, int) and not isinstance(value, bool)
    return f"#{value}" if is_row else _option_text(value)


def _option_text(value: Any) -> str:
    """An option as text: `yes`, `true`, `field:text,…`, or the value itself."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{text}" for name, text in value.items())
    return str(value)
