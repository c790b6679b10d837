"""A stored result table as the writers of exports read it."""

import csv
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import islice

from shared.blobs.stores import BlobWriter
from shared.domain.batch import BatchManifest, number_columns, source_columns
from shared.domain.files.exports import Export
from shared.i18n.catalogue import translate
from shared.i18n.languages import SOURCE_LANGUAGE, Language, stored_language
from shared.messages.exports import RESULT_HEADERS


class StoredResults:
    """A stored result table.

    Args:
        open_lines: opens the lines of its CSV.
        manifest: of its batch.
        export: the form in which it is wanted.
        is_rejected: whether its rows are the rejected ones only.
    """

    def __init__(
        self,
        open_lines: Callable[[], Iterable[str]],
        manifest: BatchManifest,
        export: Export,
        *,
        is_rejected: bool = False,
    ) -> None:
        self.is_rejected = is_rejected
        self.open_lines = open_lines
        self._delimiter = manifest.result_delimiter
        self.manifest = manifest
        self.export = export
        self.source_indexes = source_columns(manifest.dialect.header)
        """Indexes in the file of the first columns of the table, which are the file's own."""
        stored = next(self._read())
        own = len(self.source_indexes)
        self.numbers = number_columns(stored, own)
        """Indexes of the added number columns; their empty cells are null."""
        self.texts = [index for index in range(own, len(stored)) if index not in self.numbers]
        """Indexes of the other added columns; their empty cells are null."""
        self.header = self._localize(stored) if export.localized else stored

    @property
    def rows(self) -> Iterator[list[str]]:
        """The rows after the header, from the first one at each call."""
        return islice(self._read(), 1, None)

    @cached_property
    def own_count(self) -> int:
        """Number of the first columns, which are those of the file."""
        return len(self.source_indexes)

    @cached_property
    def language(self) -> Language:
        """Language of the header; English if its names are those of the API."""
        if not self.export.localized:
            return SOURCE_LANGUAGE
        return stored_language(self.export.language or self.manifest.options.language)

    def _read(self) -> Iterator[list[str]]:
        return csv.reader(self.open_lines(), delimiter=self._delimiter)

    def _localize(self, stored: list[str]) -> list[str]:
        """The header with words for the added columns; all names stay different."""
        language = self.language
        names = stored[: len(self.source_indexes)]
        for column in stored[len(names) :]:
            text = RESULT_HEADERS.get(column.split("carprice_")[-1])
            name = column if text is None else translate(text, language)
            while name in names:
                name = f"carprice {name}"
            names.append(name)
        return names


Writer = Callable[[StoredResults, BlobWriter], None]
"""Writes a table in one format."""
