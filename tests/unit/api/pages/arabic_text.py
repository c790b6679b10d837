"""Finds French and English words in an Arabic page; for the tests of every page.

    from tests.unit.api.pages.arabic_text import assert_arabic, foreign_words

    assert_arabic(client.get("/fichiers?lang=ar").text)

Read are the visible texts, and the attributes that are shown or spoken (`alt`, `aria-label`,
`placeholder`, `title`, `content` of descriptions). Not read are `<code>`, `<pre>`, `<kbd>`,
`<samp>`, `<script>`, `<style>`, and elements in another language (`lang="en"`). Allowed are the
names of brands, and of models after their brand; file names, addresses, parameters and other words
that only programs have; `ALLOWED`; and `names`, what the test itself has entered.
"""

import re
from collections.abc import Iterable
from functools import cache
from html.parser import HTMLParser

from shared.vehicles.catalogue import catalogue

ALLOWED = frozenset(
    [
        "MAD",
        "RFC",
        "API",
        "CarPricePredictor-MA",
        "CarPricePredictor",
        "MA",
        "MIT",
        "Excel",
        "LibreOffice",
        "CSV",
        "JSON",
        "Parquet",
        "XLSX",
        "ODS",
        "TSV",
        "ZIP",
        "PDF",
        "PNG",
        "QR",
        "HTTP",
        "URL",
        "UTF",
        "ASCII",
        "WhatsApp",
        "WW",
        "GPL",
        "Python",
        "OpenAPI",
        "Swagger",
        "ReDoc",
        "Français",
        "English",
        "Casablanca",
    ]
)
"""Names, abbreviations and formats that Arabic texts write in Latin letters."""
UNREAD = frozenset({"code", "pre", "kbd", "samp", "script", "style"})
SPOKEN = ("alt", "aria-label", "aria-description", "aria-valuetext", "placeholder", "title")
VOID = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "source",
        "track",
        "wbr",
        "path",
        "rect",
        "circle",
        "line",
        "polygon",
        "polyline",
    ]
)
_PROGRAM_WORD = re.compile(
    r"https?://\S*"  # addresses
    r"|[?&]\w+=\S*"  # queries
    r"|(?<![\w/])/[\w/?=&.{}<>-]+"  # paths
    r"|[\w.{}*-]*\.(?:csv|xlsx|xls|xlsm|ods|tsv|txt|json|jsonl|parquet|zip|gz|zst|pdf|html)\b"
    r"|\w+@[\w.]+"
    r"|\b\w*[_=]\w*"  # parameters
    r"|--\w[\w-]*"
    r"|\b(?=\w*\d)[A-Za-z0-9-]{4,}\b"  # identifiers, versions
)
_LATIN_WORD = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿŒœ][A-Za-zÀ-ÖØ-öø-ÿŒœ'\u2019-]+")


class _Reader(HTMLParser):
    """Collects what a reader of the page sees or hears."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.language: str | None = None
        self.direction: str | None = None
        self._skipped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "html":
            self.language, self.direction = given.get("lang"), given.get("dir")
        is_skipped = tag in UNREAD or given.get("lang", "ar") != "ar"
        if self._skipped or is_skipped:
            if tag not in VOID:
                self._skipped.append(tag)
            return
        self.texts += [text for name in SPOKEN if (text := given.get(name))]
        name = given.get("name") or given.get("property") or ""
        if tag == "meta" and name in {"description", "og:title", "og:description"}:
            self.texts.append(given.get("content") or "")
        if tag == "input" and given.get("type") in {"submit", "button", "reset"}:
            self.texts.append(given.get("value") or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self._skipped and self._skipped[-1] == tag and tag not in VOID:
            self._skipped.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in self._skipped:
            while self._skipped.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.texts.append(data)


def foreign_words(html: str, names: Iterable[str] = ()) -> list[str]:
    """The Latin words of a page that are neither names nor words of programs, in order.

    Args:
        html: the page.
        names: further words that may stand there: cities, file names, what the test entered.
    """
    reader = _Reader()
    reader.feed(html)
    return [word for text in reader.texts for word in foreign_words_of(text, names)]


def assert_arabic(html: str, names: Iterable[str] = ()) -> None:
    """Fail if a page is not marked as Arabic, or has French or English words."""
    reader = _Reader()
    reader.feed(html)
    assert (reader.language, reader.direction) == ("ar", "rtl")
    found = foreign_words(html, names)
    assert not found, f"French or English words on an Arabic page: {found}"


def foreign_words_of(text: str, names: Iterable[str] = ()) -> list[str]:
    """As `foreign_words`, of a plain text."""
    text = _PROGRAM_WORD.sub(" ", text)
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(_PROGRAM_WORD.sub(" ", name), " ")
    text = _car_names().sub(" ", text)
    return [word for word in _LATIN_WORD.findall(text) if word.rstrip("-") not in ALLOWED]


@cache
def _car_names() -> re.Pattern[str]:
    """A brand, and the words of a model that may follow it."""
    brands = "|".join(
        re.escape(brand.display)
        + "(?: (?:"
        + "|".join(
            re.escape(model.display)
            for model in sorted(brand.models.values(), key=lambda one: -len(one.display))
        )
        + r"))?\b"
        for brand in sorted(catalogue().brands.values(), key=lambda one: -len(one.display))
    )
    return re.compile(rf"\b(?:{brands})")
