"""Messages of the commands that talk to a service, and their numbers and words."""

import errno
from collections.abc import Mapping

from shared.i18n.catalogue import mark, translate, translate_plural
from shared.i18n.languages import Language
from shared.i18n.numbers import GROUPS

NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"

MESSAGES: Mapping[str, str] = {
    "refused": mark(
        "the service at {url} does not answer: start it with `carprice up`, or name another address"
        " with --url"
    ),
    "no-host": mark("the service at {url} does not answer: no host has this name; check --url"),
    "no-route": mark(
        "the service at {url} does not answer: the network does not lead there; check --url and the"
        " network of this machine"
    ),
    "no-answer": mark(
        "the service at {url} does not answer in time: `carprice status` tells what does not work;"
        " repeat the command later"
    ),
    "lost": mark(
        "the connection to the service at {url} broke before its answer was complete: repeat the"
        " command"
    ),
    "certificate": mark(
        "no secure connection to {url} can be made ({reason}): check --url, or name the"
        " certificates in SSL_CERT_FILE"
    ),
    "address": mark(
        "--url {url} is no address of a service ({reason}): expected is one like"
        " http://127.0.0.1:8000"
    ),
    "other": mark("the service at {url} cannot be reached ({reason}): check --url"),
    "proxy-refused": mark(
        "the service at {url} is not reached: the proxy {proxy} refused the connection; is the"
        " proxy right? (NO_PROXY names hosts that need none)"
    ),
    "proxy-fails": mark(
        "the service at {url} does not answer through the proxy {proxy}: is the proxy right?"
        " (NO_PROXY names hosts that need none)"
    ),
    "not-the-service": mark(
        "what answers at {url} is not the car price service: name its address with --url"
    ),
    "same-file": mark("{option} {path} and {name} are the same file: choose another for {option}"),
    "no-folder": mark("{option} {path}: there is no folder {folder}"),
    "closed-folder": mark("{option} {path}: the folder {folder} cannot be written"),
    "no-form": mark(
        "-o {path}: choose a form by the suffix (.csv, .ndjson, .jsonl, .parquet, .xlsx) or by"
        " --format"
    ),
    "no-excel": mark("--excel-fr: only CSV has it, not {form}"),
    "not-json": mark("{file}: not JSON: {error}"),
    "no-object": mark('{file}: expected a JSON object, like {{"company": "Toyota", …}}'),
    "interrupted": mark("Interrupted. The same command goes on from here."),
    "not-ended": mark("batch {id} has not ended: it can be deleted then"),
    "deleted": mark("batch {id} is deleted"),
    "sending": mark("sending"),
    "row": mark("row"),
    "summary": mark("{outcome}: {rows}: {valid}, {invalid}, {failed} -> {output}"),
    "line": mark("line {line}"),
    "cell": mark("line {line}, {column}"),
    "entry": mark("  {place}: {message}"),
    "file-error": mark("{file}: {reason}"),
    "more": mark("  … (--rejected FILE gives every rejected row)"),
}

_OUTCOMES = {
    "complete": mark("complete"),
    "with_errors": mark("complete, with rejected rows"),
    "partial": mark("partly complete"),
    "aborted": mark("aborted"),
    "cancelled": mark("cancelled"),
    "dry_run": mark("checked, nothing valued"),
}
_STATES = {
    "QUEUED": mark("queued"),
    "RUNNING": mark("running"),
    "SUCCEEDED": mark("succeeded"),
    "FAILED": mark("failed"),
    "CANCELLED": mark("cancelled"),
}
_REASONS = {
    errno.ENOENT: mark("No such file or directory"),
    errno.EACCES: mark("Permission denied"),
    errno.EISDIR: mark("Is a directory"),
    errno.ENOSPC: mark("No space left on device"),
    errno.EROFS: mark("Read-only file system"),
}
"""As the operating system words them in English."""


def message(code: str, language: Language, **params: object) -> str:
    """A message with its parameters; integers get the thousands separator of the language."""
    shown = {
        name: number(value, language) if isinstance(value, int) else value
        for name, value in params.items()
    }
    return translate(MESSAGES[code], language).format(**shown)


def rows_of(done: int, total: int, language: Language) -> str:
    """How many of the rows of a file are done, like "2 of 3 rows"."""
    counted = done if language == "fr" else total
    text = translate_plural("{done} of {total} row", "{done} of {total} rows", counted, language)
    return text.format(done=number(done, language), total=number(total, language))


def valued_rows(count: int, language: Language, *, is_checked: bool) -> str:
    """How many rows were valued, or are valid if nothing was to be valued."""
    text = (
        translate_plural("{number} valid", "{number} valid", count, language)
        if is_checked
        else translate_plural("{number} valued", "{number} valued", count, language)
    )
    return text.format(number=number(count, language))


def rejected_rows(count: int, language: Language) -> str:
    """How many rows were rejected."""
    text = translate_plural("{number} rejected", "{number} rejected", count, language)
    return text.format(number=number(count, language))


def failed_rows(count: int, language: Language) -> str:
    """How many rows failed."""
    text = translate_plural("{number} failed", "{number} failed", count, language)
    return text.format(number=number(count, language))


def number(value: float, language: Language, sign: str = "-") -> str:
    """A number rounded to an integer, with the thousands separator of the language.

    Args:
        value: the number.
        language: of the reader.
        sign: `+` to show the sign of positive numbers too.

    >>> number(12345, "en"), number(12345, "fr").replace(NARROW_SPACE, " "), number(12345, "ar")
    ('12,345', '12 345', '12.345')
    """
    return f"{value:{sign},.0f}".replace(",", GROUPS[language])


def outcome(code: str | None, language: Language) -> str:
    """The outcome of a batch as text."""
    return translate(_OUTCOMES.get(code or "", str(code)), language)


def state(code: str, language: Language) -> str:
    """The state of a batch as text."""
    return translate(_STATES.get(code, code.lower()), language)


def reason(error: OSError, language: Language) -> str:
    """The cause of a file error as text."""
    known = _REASONS.get(error.errno or 0)
    return translate(known, language) if known else error.strerror or str(error)
