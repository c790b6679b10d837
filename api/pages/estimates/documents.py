"""The PDF and the preview image of a kept estimate: made once, in a process of their own."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import orjson

from api.http.context import services
from api.pages.estimates.labels import absolute_url, format_date, path_of, reference
from api.pages.estimates.summary import Summary, interval_sentence, summarize
from api.pages.language import gettext as _
from api.pages.typography import typographic
from shared.blobs.estimate_files import KeptEstimate
from shared.domain.errors import StorageUnavailable, TooManyTransfers
from shared.i18n.languages import Language, direction
from shared.logging import get_logger

VERSION = 3
"""To be raised when the drawing changes: files of earlier versions are then made again."""
TIMEOUT_S = 30
WAIT_S = 10
MAX_DRAWINGS = 2

log = get_logger("documents")
_being_drawn: set[tuple[str, str]] = set()
"""Estimate and file of each drawing under way; `MAX_DRAWINGS` at most, each by one process."""
_has_ended = threading.Condition()
"""Guards `_being_drawn`; notified when a drawing has ended."""


def pdf_of(kept: KeptEstimate, language: Language) -> bytes:
    """The document of an estimate.

    Raises:
        TooManyTransfers: others are being drawn, or this one takes too long.
    """
    return _drawn(kept, "pdf", language)


def preview_of(kept: KeptEstimate, language: Language) -> bytes:
    """The preview image of an estimate, PNG of 1,200 by 630 pixels; raises as `pdf_of`."""
    return _drawn(kept, "png", language)


def _drawn(kept: KeptEstimate, kind: str, language: Language) -> bytes:
    name = f"v{VERSION}-{language}.{kind}"
    content = _content(kept, language)
    # A preview shows no address. A document is stored behind a digest of the one it shows, and
    # replaced for readers at another one: the host of a request can be forged.
    stamp = sha256(content["address"].encode()).digest() if kind == "pdf" else b""
    stored = _stored(kept, name, stamp)
    if stored is not None:
        return stored
    with _turn(kept.id, name) as has_turn:
        stored = _stored(kept, name, stamp)  # another reader may have had it drawn meanwhile
        if stored is not None:
            return stored
        if not has_turn:
            raise TooManyTransfers
        drawn = _draw(_typographic({"kind": kind, **content}))
        try:
            services().estimates.files.write_drawing(kept.id, name, stamp + drawn)
        except StorageUnavailable as error:
            log.warning("drawing_not_kept", id=kept.id, error=str(error))
    return drawn


@contextmanager
def _turn(estimate_id: str, name: str) -> Iterator[bool]:
    """Wait until this file is not being drawn and there is a place, and take both.

    Yields:
        Whether they became free in time.
    """
    drawing = (estimate_id, name)
    with _has_ended:
        has_turn = _has_ended.wait_for(
            lambda: drawing not in _being_drawn and len(_being_drawn) < MAX_DRAWINGS, WAIT_S
        )
        if has_turn:
            _being_drawn.add(drawing)
    try:
        yield has_turn
    finally:
        if has_turn:
            with _has_ended:
                _being_drawn.discard(drawing)
                _has_ended.notify_all()


def _stored(kept: KeptEstimate, name: str, stamp: bytes) -> bytes | None:
    """What was drawn before with the same address."""
    try:
        content = services().estimates.files.read_drawing(kept.id, name)
    except StorageUnavailable:
        return None
    if content is None or not content.startswith(stamp):
        return None
    return content[len(stamp) :]


def _draw(content: dict[str, Any]) -> bytes:
    """Draw in a child process: the libraries take 90 MB, which end with it.

    Raises:
        TooManyTransfers: it took longer than `TIMEOUT_S`.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "api.pages.estimates.drawing"],
            input=orjson.dumps(content),
            capture_output=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        log.exception("drawing_failed", stderr=_tail(error.stderr))
        raise
    except subprocess.TimeoutExpired as error:
        log.exception("drawing_failed", stderr=_tail(error.stderr))
        raise TooManyTransfers from error
    return done.stdout


def _tail(output: bytes | None) -> str:
    """The end of what a process has written, for the log."""
    return (output or b"").decode(errors="replace")[-2000:]


def _content(kept: KeptEstimate, language: Language) -> dict[str, Any]:
    """Everything that is drawn, as texts."""
    summary = summarize(kept)
    return {
        "direction": direction(language),
        "language": language,
        "site": "CarPricePredictor-MA",
        "title": _("Estimate of a used car"),
        "car": summary.car,
        "price": summary.price,
        "interval": interval_sentence(summary),
        "verdict": _verdict_line(summary),
        "facts_title": _("The car, as it was read"),
        "facts": [[label, value] for _name, label, value in summary.facts],
        "explanation_title": _("Why this price?"),
        "explanation": list(summary.explanation),
        "basis": _("Based on prices asked in listings. An estimate is not an appraisal."),
        "date": _("Estimate of {date}").format(date=format_date(kept.at, language)),
        "reference": _("Reference {reference}").format(reference=reference(kept.id)),
        "model": kept.model.get("version") or "",
        "address": absolute_url(path_of(kept.id)),
        "qr": _qr_rows(absolute_url(path_of(kept.id))),
    }


def _typographic(content: Any) -> Any:
    """All texts of a document as they are printed."""
    if isinstance(content, dict):
        return {name: _typographic(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_typographic(value) for value in content]
    return typographic(content) if isinstance(content, str) else content


def _verdict_line(summary: Summary) -> str:
    if not summary.asking:
        return ""
    text = _("Asking price {price}: {verdict}")
    return text.format(price=summary.asking, verdict=summary.verdict)


def _qr_rows(address: str) -> list[str]:
    """The modules of a QR code, row by row: "1" is dark."""
    import segno  # noqa: PLC0415 - needed for documents only

    code = segno.make(address, error="m", micro=False)
    return ["".join("1" if cell else "0" for cell in row) for row in code.matrix]
