"""The command line behind proxies, in narrow encodings and with arguments that are no text.

Each test runs the command as a process, since encodings and arguments are the process's own.
"""

import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from cli.main import COMMANDS
from tests.conftest import ROOT

pytestmark = pytest.mark.integration
ENCODINGS = ("cp1252", "cp850", "latin-1", "ascii")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
SKODA = (
    "--company", "Škoda", "--model", "Octavia", "--year", "2016", "--fuel", "Diesel",
    "--transmission", "Manuelle", "--km-driven", "141 000", "--edition", "Élégance",
)  # fmt: skip
ELSEWHERE = "http://192.0.2.7:8000"
"""An address that is reserved for documentation: nothing answers there."""


def carprice(*arguments, stdin=None, **env):
    """Run the command and return its exit code, output and errors as bytes."""
    clean = {name: value for name, value in os.environ.items() if name not in PROXY_VARIABLES}
    ended = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=ROOT, env=clean | env, input=stdin, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert b"Traceback" not in ended.stdout + ended.stderr, ended.stderr.decode(errors="replace")
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture(scope="module")
def here(service):
    """The environment variables of the shared service and its models."""
    return {
        "CARPRICE_URL": service.url,
        "CARPRICE_HOME": str(service.home),
        "MODELS_PATH": str(service.models_path),
    }


@pytest.fixture(scope="module")
def gateway():
    """The address of a proxy that answers every request with its own 502."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    connection.sendall(
                        b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n"
                        b"Content-Length: 6\r\nConnection: close\r\n\r\n<html>"
                    )

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    "proxies",
    [
        {"http_proxy": "http://127.0.0.1:1"},
        {"all_proxy": "socks5://127.0.0.1:1"},
        {"all_proxy": "socks4a://user:word@proxy.example"},
        {"http_proxy": "::not an address::", "no_proxy": "[::1],10.0.0.0/8"},
    ],
)
def test_this_machine_is_reached_without_the_proxy(here, proxies):
    code, shown, errors = carprice("predict", *SKODA, **here, **proxies)
    assert (code, b"MAD" in shown) == (0, True), errors


@pytest.mark.parametrize("host", ["localhost", "[::1]", "127.0.0.9"])
def test_other_names_of_this_machine_are_reached_without_the_proxy_too(here, host):
    url = f"http://{host}:1"
    code, _, errors = carprice(
        "predict", *SKODA, **here | {"CARPRICE_URL": url}, http_proxy="http://192.0.2.1:3128"
    )
    assert code == 2
    assert b"192.0.2.1" not in errors


@pytest.mark.parametrize(
    ("variable", "proxy", "reason"),
    [
        ("http_proxy", "http://name:secret@127.0.0.1:1", b"refused"),
        ("all_proxy", "socks5h://127.0.0.1:1", b"socksio"),
        ("all_proxy", "gopher://127.0.0.1:1", b"gopher"),
    ],
)
def test_a_proxy_that_fails_is_named_without_its_password(here, variable, proxy, reason):
    code, _, errors = carprice("predict", *SKODA, "--url", ELSEWHERE, **here, **{variable: proxy})
    assert code == 2
    assert f"{variable}={proxy.partition('://')[0]}://".encode() in errors
    assert b"127.0.0.1:1" in errors
    assert reason in errors
    assert b"secret" not in errors


def test_a_proxy_that_answers_itself_is_named(here, gateway):
    code, _, errors = carprice("predict", *SKODA, "--url", ELSEWHERE, **here, http_proxy=gateway)
    assert code == 2
    assert f"http_proxy={gateway}".encode() in errors
    assert b"502 Bad Gateway" in errors
    code, _, errors = carprice(
        "predict", *SKODA, "--url", ELSEWHERE, "--lang", "fr", http_proxy=gateway, no_proxy="*"
    )
    assert b"proxy" not in errors


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_prices_and_errors_are_shown_in_any_encoding(here, encoding):
    env = here | {"PYTHONIOENCODING": encoding}
    options = ("--lang", "fr", "--include", "contributions", "--asking-price-mad", "99000")
    code, shown, _ = carprice("predict", *SKODA, *options, **env)
    assert code == 0
    assert "Année" in shown.decode(encoding).replace("Annee", "Année")
    code, _, errors = carprice("predict", *SKODA, "--year", "1790", "--lang", "fr", **env)
    assert code == 2
    assert "1790" in errors.decode(encoding)


@pytest.mark.parametrize("encoding", [*ENCODINGS, "utf-8"])
def test_json_is_whole_in_any_encoding(here, encoding):
    env = here | {"PYTHONIOENCODING": encoding}
    code, shown, _ = carprice("predict", *SKODA, "--owner", "موظف", "--lang", "fr", "--json", **env)
    assert code == 0
    texts = [each["detail"] for each in json.loads(shown.decode(encoding))["warnings"]]
    assert any("ignorée" in text for text in texts)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_files_are_valued_and_named_in_any_encoding(here, encoding, tmp_path):
    file, priced = tmp_path / "voitures été.csv", tmp_path / "prix œ ß.csv"
    file.write_text(
        "Marque;Modèle;Année;Carburant;Boîte;Kilométrage\n"
        "Škoda;Octavia;2016;Diesel;Manuelle;141 000\n"
        "Škoda;Octavia;dernière année;Diesel;Manuelle;141 000\n"
    )
    code, _, errors = carprice(
        "batch", str(file), "-o", str(priced), "--lang", "fr",
        **here, PYTHONIOENCODING=encoding,
    )  # fmt: skip
    assert code == 1, errors
    assert "ann" in errors.decode(encoding)
    assert "MAD" not in errors.decode(encoding)
    assert "Octavia" in priced.read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        *((name, "--help") for name in COMMANDS),
        ("--help",),
        ("voilà",),
        ("models", "list"),
        ("models", "show", "dernière"),
        ("models", "card", "active"),
        ("models", "history", "--json"),
        ("outcomes",),
        ("key", "clé"),
        ("batch", "voitures été.csv", "-o", "x.csv"),
        ("train", "--data", "annonces été.csv"),
        ("audit", "verify", "--folder", "journal été"),
    ],
    ids=" ".join,
)
def test_every_command_speaks_ascii(here, arguments):
    code, shown, errors = carprice(*arguments, **here, PYTHONIOENCODING="ascii")
    assert code in {0, 1, 2}
    assert (shown + errors).decode("ascii")


@pytest.mark.parametrize(
    "arguments",
    [
        (b"predict", b"--company", b"\x8akoda", b"--model", b"Octavia"),
        (b"predict", b"--city=F\xe8s"),
        (b"key", b"caf\xe9"),
        (b"models", b"show", b"derni\xe8re"),
        (b"batch", b"absent \xe9.csv", b"-o", b"x.csv"),
        (b"market", b"generate", b"-o", b"\xff\xfe"),
        (b"\xe9",),
    ],
    ids=str,
)
def test_an_argument_that_is_no_text_gets_one_clear_line(here, arguments):
    code, shown, errors = carprice(*arguments, **here)
    assert (code, shown) == (2, b"")
    (line,) = errors.decode().splitlines()
    assert "UTF-8" in line
    assert "\\x" in line


def test_a_file_may_have_a_name_that_is_no_text(here, tmp_path):
    file = os.fsencode(tmp_path) + b"/voitures \xe9t\xe9.csv"
    with open(file, "w", encoding="utf-8") as target:  # noqa: PTH123 - the path is bytes
        target.write("company,model,year,fuel,transmission,km_driven\n")
        target.write("Skoda,Octavia,2016,Diesel,Manual,141000\n")
    code, _, errors = carprice("batch", file, "-o", str(tmp_path / "x.csv"), **here)
    assert code == 0, errors


@pytest.mark.parametrize(
    ("content", "is_valued"),
    [
        (json.dumps({"company": "Škoda"}, ensure_ascii=False).encode(), True),
        (json.dumps({"company": "Škoda"}, ensure_ascii=False).encode("utf-8-sig"), True),
        (b'{"company": "\x8akoda"}', False),
        (b'{"company": "\\ud83d"}', False),
        (b'{"company": "x", "km_driven": NaN}', False),
        (b"[" * 100_000, False),
    ],
    ids=["utf-8", "with a byte order mark", "cp1252", "lone surrogate", "NaN", "too deep"],
)
def test_json_on_standard_input_is_read_as_utf_8(here, content, is_valued):
    options = SKODA[2:]
    code, _, errors = carprice(
        "predict", "-", *options, stdin=content, **here, PYTHONIOENCODING="cp1252"
    )
    assert (code == 0) == is_valued, errors
    assert is_valued or (code == 2 and len(errors.splitlines()) == 1), errors


@pytest.mark.parametrize(
    "options",
    [
        ("--api-key", "clé"),
        ("--api-key", "two\nlines"),
        ("--url", "http://[bad"),
        ("--url", "localhost:8000"),
        ("--url", "http://127.0.0.1:70000"),
        ("--url", "http://a..b"),
        ("--url", ""),
    ],
    ids=" ".join,
)
def test_a_wrong_key_or_address_gets_one_line(here, options):
    code, _, errors = carprice("predict", *SKODA, *options, **here)
    assert (code, len(errors.splitlines())) == (2, 1), errors


def test_another_service_at_the_address_is_recognised(here, service):
    code, _, errors = carprice("predict", *SKODA, **here | {"CARPRICE_URL": service.flower_url})
    assert code == 2
    assert errors
