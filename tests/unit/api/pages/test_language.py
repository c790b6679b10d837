"""The language of pages and of the API, by `?lang=` and `Accept-Language`."""

import re

import pytest

from api.app import create_app
from api.http.requests import CACHED_HEADER_MAX_CHARS, preferred_language
from shared.i18n.languages import LANGUAGES, Language, direction
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from tests.unit.api.pages.arabic_text import assert_arabic

BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"
TITLES = {"fr": "Page introuvable", "ar": "الصفحة غير موجودة", "en": "Not found"}
PAGES = ("/", "/fichiers", "/docs/problems")


@pytest.fixture
def client(tmp_path):
    """A service without servers and without a model."""
    return create_app(
        with_server_urls(Settings(home=tmp_path, models_path=tmp_path / "versions"))
    ).test_client()


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "fr"),
        ("", "fr"),
        ("*", "fr"),
        ("ar-MA", "ar"),
        ("ar", "ar"),
        ("AR-ma,ar;q=0.8", "ar"),
        ("ar;q=0.9,fr;q=0.8", "ar"),
        ("fr;q=0.8,ar;q=0.9", "ar"),
        ("fr;q=0.9,ar;q=0.8", "fr"),
        ("ar;q=0", "fr"),
        ("ar;q=0,en;q=0.1", "en"),
        ("de,ar;q=0.3", "ar"),
        ("de", "fr"),
        ("ary", "ar"),
        ("ary-MA,fr;q=0.9", "ar"),
        ("de,arz-EG;q=0.3", "ar"),
        ("fr-MA,fr;q=0.9,ar;q=0.8", "fr"),
        ("en-GB,en;q=0.9", "en"),
        ("zgh-MA,ary;q=0.5,fr;q=0.2", "ar"),
        ("arn", "fr"),
        ("ar;q=no", "fr"),
        (";;,,=", "fr"),
        ("de," * CACHED_HEADER_MAX_CHARS + "ar", "ar"),
        ("x" * 5000, "fr"),
    ],
)
def test_the_header_chooses_the_language(client, header: str | None, language: Language) -> None:
    assert preferred_language(header) == language
    headers = {} if header is None else {"Accept-Language": header}
    answer = client.get("/nothing-here", headers=headers)
    assert answer.json["title"] == TITLES[language]
    assert answer.headers["Content-Language"] == language
    assert "Accept-Language" in answer.vary


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_states_its_language_and_direction(client, path: str, language: Language) -> None:
    asked = client.get(f"{path}?lang={language}", headers={"Accept": BROWSER})
    negotiated = client.get(path, headers={"Accept": BROWSER, "Accept-Language": language})
    for answer in (asked, negotiated):
        assert f'<html lang="{language}" dir="{direction(language)}">' in answer.text
        assert answer.headers["Content-Language"] == language
    assert "Accept-Language" in negotiated.vary


@pytest.mark.parametrize("wrong", ["de", "", "ar'><script>", "x" * 3000])
def test_an_unknown_language_in_the_address_is_as_none(client, wrong: str) -> None:
    answer = client.get(
        "/", query_string={"lang": wrong}, headers={"Accept": BROWSER, "Accept-Language": "ar"}
    )
    assert '<html lang="ar"' in answer.text
    assert "<script>" not in answer.text.partition("</head>")[2].partition("<main")[0]


def test_the_switch_leads_to_the_same_page_in_every_language(client) -> None:
    answer = client.get("/?company=Dacia&lang=ar&utm_source=mail", headers={"Accept": BROWSER})
    links = dict(re.findall(r'<a href="([^"]+)" lang="(\w+)" hreflang', answer.text))
    assert links == {f"/?company=Dacia&amp;lang={language}": language for language in LANGUAGES}
    current = re.findall(r'lang="(\w+)" hreflang="\w+" dir="\w+" aria-current="true"', answer.text)
    assert current == ["ar"]
    assert 'href="/fichiers?lang=ar"' in answer.text


def test_the_page_of_problems_is_arabic(client) -> None:
    names = ("errors", "warnings", "Content-Type", "Idempotency-Key", "Content-Encoding")
    html = client.get("/docs/problems?lang=ar").text
    assert "الصفحة غير موجودة" in html
    assert "If-Match" not in re.sub(r"<td>.*", "", html)
    body = re.sub(r"\{\w+(?:!r)?\}", "", html)
    words = (
        *names, "ACTIVE", "Content-Length", "POST", "company", "model", "multipart", "gzip", "zstd",
        "curl -F", "field:#number", "mac-roman", "year", "brand", "Logan", "Dacia", "carprice",
        "webhooks secret create", "row_line", "file", "sheet", "bhp", "YYYY-MM-DD",
    )  # fmt: skip
    assert_arabic(body, words)
