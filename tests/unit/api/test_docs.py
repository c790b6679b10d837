"""Swagger UI, ReDoc and the list of problems come from this machine alone."""

import gzip
import re
import subprocess
import sys

import pytest

from api.app import create_app
from api.ops import docs_views
from shared.messages.problems import PROBLEM_MESSAGES
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from tests.unit.api.pages.arabic_text import foreign_words

PAGES = ("/docs", "/redoc", "/docs/problems")


@pytest.fixture
def client(tmp_path):
    return create_app(
        with_server_urls(Settings(home=tmp_path, models_path=tmp_path / "versions"))
    ).test_client()


def addresses(html: str) -> list[str]:
    """What a page loads or links to."""
    return re.findall(r'(?:src|href|spec-url)="([^"]*)"', html)


@pytest.mark.parametrize("page", PAGES)
def test_everything_a_page_loads_is_here(client, page):
    answer = client.get(page)
    assert answer.status_code == 200
    for address in addresses(answer.text):
        assert address.startswith(("/", "#"))
        assert address.startswith("#") or client.get(address).status_code == 200, address


@pytest.mark.parametrize("page", PAGES)
def test_no_page_may_load_from_elsewhere_or_be_framed(client, page):
    policy = client.get(page).headers["Content-Security-Policy"]
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert "'unsafe-eval'" not in policy
    assert not re.search(r"script-src[^;]*unsafe", policy)


def test_redoc_does_not_ask_for_its_makers_logo(client):
    source = (docs_views.sidecar_folder() / "redoc/bundles/redoc.standalone.js").read_bytes()
    served = client.get("/docs/static/redoc.standalone.js").data
    (logo,) = docs_views.URL_REPLACEMENTS
    assert logo in source, "the package has changed: URL_REPLACEMENTS is out of date"
    assert logo not in served


def test_a_file_under_its_present_address_may_be_kept_for_ever(client):
    address = next(a for a in addresses(client.get("/docs").text) if "bundle" in a)
    assert client.get(address).headers["Cache-Control"] == "public, max-age=31536000, immutable"
    renamed = address.split("?")[0]
    assert client.get(renamed).headers["Cache-Control"] == "public, no-cache"
    assert client.get(renamed + "?v=other").headers["Cache-Control"] == "public, no-cache"


def test_a_file_is_compressed_for_those_who_can_read_it(client):
    address = "/docs/static/swagger-ui.css"
    compressed = client.get(address, headers={"Accept-Encoding": "gzip, br"})
    plain = client.get(address)
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(compressed.data) == plain.data
    assert plain.vary.as_set() == {"accept-encoding"}
    assert client.get(address, headers={"Accept-Encoding": "gzip;q=0"}).data == plain.data


def test_a_file_that_is_already_there_is_not_sent_again(client):
    address = "/docs/static/swagger-ui.css"
    tag = client.get(address).headers["ETag"]
    again = client.get(address, headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "..%2f..%2fapp.py", "%2e%2e%2fapp.py"])
def test_only_listed_files_are_served(client, name):
    assert client.get(f"/docs/static/{name}").status_code == 404


def test_the_type_of_every_problem_leads_to_its_explanation(client):
    html = client.get("/docs/problems").text
    assert set(PROBLEM_MESSAGES) <= set(re.findall(r'<tr id="([\w-]+)"', html))
    kind = client.get("/nothing-here").json["type"]
    page, _, anchor = kind.partition("#")
    assert f'id="{anchor}"' in client.get(page).text


def test_the_documentation_needs_no_django():
    program = "import sys, api.ops.docs_views; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(docs_views, "SIDECAR", "no_such_package")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        docs_views.sidecar_folder()


@pytest.mark.parametrize("path", ["/predict", "/jobs"])
def test_the_document_says_how_long_a_caller_may_wait_and_what_is_too_large(client, path):
    operation = client.get("/openapi.json").json["paths"][path]["post"]
    assert "Prefer" in [one["name"] for one in operation["parameters"]]
    assert "413" in operation["responses"]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_english_description_has_a_way_back_in_the_reader_s_language(client, page):
    answer = client.get(f"{page}?lang=ar")
    assert answer.headers["Content-Language"] == "ar"
    assert '<html lang="ar" dir="rtl">' in answer.text
    assert '<main lang="en" dir="ltr">' in answer.text
    assert '<header class="bar" lang="ar" dir="rtl">' in answer.text
    assert 'href="/?lang=ar"' in answer.text
    assert "بالإنجليزية" in answer.text
    assert foreign_words(answer.text, ["JavaScript"]) == []
    assert "in English" not in client.get(f"{page}?lang=en").text
