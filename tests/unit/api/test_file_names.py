"""Names of files in `Content-Disposition` headers are kept as their senders mean them."""

import io
import re
from urllib.parse import unquote

import pytest
from flask import Flask, Request
from werkzeug.http import parse_options_header
from werkzeug.test import EnvironBuilder

from api.http.file_names import attachment_header, clean_file_name, file_name_of
from api.http.uploads import UploadBody

ARABIC = "سيارات مراكش.csv"


def request_of(body: bytes, content_type: str, disposition: bytes | None = None) -> Request:
    builder = EnvironBuilder(
        method="POST", input_stream=io.BytesIO(body), content_type=content_type
    )
    environ = builder.get_environ()
    environ["CONTENT_LENGTH"] = str(len(body))
    if disposition is not None:
        environ["HTTP_CONTENT_DISPOSITION"] = disposition.decode("latin-1")
    return Flask(__name__).request_class(environ)


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ('filename="août 2025.csv"'.encode(), "août 2025.csv"),
        ('filename="août.csv"'.encode("latin-1"), "août.csv"),
        ('filename="prix en € … août.csv"'.encode("cp1252"), "prix en € … août.csv"),
        (f'filename="{ARABIC}"'.encode(), ARABIC),
        (b"filename*=UTF-8''ao%C3%BBt.csv", "août.csv"),
        (b"filename*=utf-8'fr'ao%C3%BBt.csv; filename=\"aout.csv\"", "août.csv"),
        (b"filename=\"aout.csv\"; filename*=UTF-8''ao%C3%BBt.csv", "août.csv"),
        (b"filename*=ISO-8859-15''%A4.csv", "€.csv"),
        (b"filename*=windows-1256''%D3%ED%C7%D1%C9.csv", "سيارة.csv"),
        (b"filename=\"a.csv\"; filename*=nonsense''%FF.csv", "a.csv"),
        (b"filename*0*=UTF-8''ao%C3%BB; filename*1=\"t.csv\"", "août.csv"),
        (b'filename="=?UTF-8?B?YW/Du3QuY3N2?="', "août.csv"),
        (b'filename="=?ISO-8859-1?Q?ao=FBt_25=2Ecsv?="', "août 25.csv"),
        (b'filename="100% neuf.csv"', "100% neuf.csv"),
        (b'filename="50%20.csv"', "50%20.csv"),
        (b'filename="dit %22neuf%22.csv"', 'dit "neuf".csv'),
        (rb'filename="dit \"neuf\".csv"', 'dit "neuf".csv'),
        (rb'filename="C:\Users\stock\mars.csv"', "mars.csv"),
        (b'filename="../../etc/mars.csv"', "mars.csv"),
        (b'filename="a\tb\x00c\x1f.csv"', "abc.csv"),
        ('filename="a\u202evsc.exe"'.encode(), "avsc.exe"),
        (b'filename="lot; avril.csv"', "lot; avril.csv"),
        ("filename=août.csv".encode(), "août.csv"),
        (b'FileName = "mars.csv"', "mars.csv"),
        (b'filename=""', ""),
    ],
)
def test_the_name_of_an_uploaded_file_is_kept(parameters: bytes, name: str) -> None:
    raw = request_of(b"a,b\n", "text/csv", b"attachment; " + parameters)
    assert UploadBody(raw).file_name == name
    part = b'--B\r\nContent-Disposition: form-data; name="file"; ' + parameters
    form = request_of(part + b"\r\n\r\na,b\n\r\n--B--\r\n", "multipart/form-data; boundary=B")
    body = UploadBody(form)
    assert b"".join(body) == b"a,b\n"
    assert body.file_name == name


def test_a_long_name_keeps_its_suffix() -> None:
    name = clean_file_name("é" * 300 + ".csv.gz")
    assert (len(name), name[-4:]) == (200, "é.gz")
    assert len(clean_file_name("a." + "b" * 300)) == 200


def test_a_name_of_dots_only_is_no_name() -> None:
    assert [clean_file_name(name) for name in ("..", "a/..", "")] == ["", "", ""]
    assert clean_file_name(".stock") == ".stock"


@pytest.mark.parametrize(
    ("name", "plain", "extended"),
    [
        ("mars.csv", "mars-priced.csv", None),
        ("mars", "mars-priced.csv", None),
        ("août 2025.csv", "aout_2025-priced.csv", "août 2025-priced.csv"),
        (ARABIC, "id-priced.csv", f"{ARABIC[:-4]}-priced.csv"),
        ("100 %.csv", "100-priced.csv", "100 %-priced.csv"),
        ('dit "neuf".csv', "dit_neuf-priced.csv", "dit neuf-priced.csv"),
        ("", "id-priced.csv", None),
    ],
)
def test_a_download_is_named_in_ascii_and_in_utf_8(
    name: str, plain: str, extended: str | None
) -> None:
    header = attachment_header(name, "priced.csv", "id")
    assert header.isascii()
    assert re.search(r'filename="([^"]*)"', header)[1] == plain  # type: ignore[index]
    found = re.search(r"filename\*=UTF-8''(\S+)", header)
    assert (None if found is None else unquote(found[1])) == extended
    # Another parser reads the same, and so do we.
    assert parse_options_header(header)[1]["filename"] == file_name_of(header) == extended or plain
