"""How a page names a kept estimate: its address, date, reference, and links to share it."""

import datetime as dt
from typing import Any
from urllib.parse import urlencode

from flask import g

from api.http.context import public_address, services
from api.pages.estimates.summary import interval_sentence, summarize
from api.pages.language import gettext as _
from api.pages.language import page_language, page_url
from shared.blobs.estimate_files import KeptEstimate
from shared.domain.clock import DAY_S
from shared.i18n.languages import Language

MOROCCO = dt.timezone(dt.timedelta(hours=1))
"""Time of Morocco outside of Ramadan."""
LOCALES: dict[Language, str] = {"fr": "fr", "ar": "ar_MA", "en": "en_GB"}


def reference(estimate_id: str) -> str:
    """A short name to compare two papers by; it does not open the estimate.

    >>> reference("01m8fqj4f7z0kj5s71amqzvc4r")
    'MQZV-C4R'
    """
    tail = estimate_id[-7:].upper()
    return f"{tail[:4]}-{tail[4:]}"


def format_date(at: float, language: Language) -> str:
    """The day of a Unix time in words, as it was in Morocco.

    >>> format_date(1_700_000_000, "fr"), format_date(1_700_000_000, "en")
    ('14 novembre 2023', '14 November 2023')
    """
    # Imported here: its tables of languages are read at the first use only.
    from babel.dates import format_date as babel_date  # noqa: PLC0415

    return str(babel_date(_day(at), "long", locale=LOCALES[language]))


def _day(at: float) -> dt.date:
    return dt.datetime.fromtimestamp(at, MOROCCO).date()


def path_of(estimate_id: str) -> str:
    """The path of the page of an estimate."""
    return f"/estimations/{estimate_id}"


def absolute_url(path: str) -> str:
    """The address of a path for other sites, programs and paper, in the language of the page."""
    query = urlencode({"lang": page_language()})
    return f"{public_address()}{path}?{query}"


def is_open() -> bool:
    """Whether everybody who reaches the service may read the estimates of the current caller."""
    return g.caller is not None and g.caller.is_anonymous


def is_owner(kept: KeptEstimate) -> bool:
    """Whether the caller of the current request made the estimate, and may share it."""
    return g.caller is not None and not is_open() and g.caller.id == kept.caller


def describe_kept(kept: KeptEstimate) -> dict[str, Any]:
    """What the page says of a kept estimate, and its links."""
    language = page_language()
    path, address = path_of(kept.id), absolute_url(path_of(kept.id))
    shown = summarize(kept)
    summary = _("{car}: {price} (estimate of {date})").format(
        car=shown.car, price=shown.price, date=format_date(kept.at, language)
    )
    until = kept.at + services().estimates.days * DAY_S
    is_shared = is_open() or services().estimates.files.is_shared(kept.id)
    return {
        "id": kept.id,
        "car": shown.car,
        "price": shown.price,
        "interval": interval_sentence(shown),
        "path": path,
        "address": address,
        "reference": reference(kept.id),
        "date": format_date(kept.at, language),
        "day": _day(kept.at).isoformat(),
        "until": format_date(until, language),
        "until_day": _day(until).isoformat(),
        "summary": summary,
        "whatsapp": "https://wa.me/?" + urlencode({"text": f"{summary}\n{address}"}),
        "preview": absolute_url(f"{path}.png"),
        "pdf": page_url(f"{path}.pdf"),
        "share": page_url(f"{path}/partage"),
        "compare": page_url("/comparer", id=kept.id),
        "is_shared": is_shared,
        "is_owner": is_owner(kept),
        "qr": qr_svg(address),
    }


def qr_svg(address: str) -> str:
    """A QR code as inline SVG without colours: the style sheet gives them."""
    import segno  # noqa: PLC0415 - needed by this page only

    code = segno.make(address, error="m", micro=False)
    return code.svg_inline(scale=3, border=2, svgclass="qr", lineclass=None, omitsize=True)
