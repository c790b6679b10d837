"""All export formats."""

from tests.exports.formats import (
    arabic,
    databases,
    english,
    european,
    french,
    indian,
    json_dumps,
    tools,
)
from tests.exports.formats.cars import Export, Writer

WRITERS: tuple[Writer, ...] = (
    *french.WRITERS,
    *european.WRITERS,
    *english.WRITERS,
    *indian.WRITERS,
    *arabic.WRITERS,
    *tools.WRITERS,
    *databases.WRITERS,
    *json_dumps.WRITERS,
)


def exports() -> tuple[Export, ...]:
    return tuple(writer() for writer in WRITERS)
