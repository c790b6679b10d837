"""Records output and exit codes of the commands."""

import json
import re
from typing import Any

from tests.behaviour.cars import PLAIN
from tests.behaviour.files import BAD
from tests.behaviour.normal import Placeholders, digest
from tests.behaviour.running import Service

MAX_CHARS = 3_000


def record(service: Service) -> dict[str, Any]:
    """Run the commands of users and operators."""
    home = service.home
    (home.folder / "stock.csv").write_text(BAD, encoding="utf-8")
    recorded: dict[str, Any] = {}
    for arguments, text in _commands():
        ended = home.command(*arguments, text=text, CARPRICE_URL=service.url)
        recorded[" ".join(arguments)] = {
            "code": ended.returncode,
            "out": _text(ended.stdout, str(home.folder)),
            "err": _text(ended.stderr, str(home.folder)),
        }
    written = {
        path.name: digest(path.read_bytes())
        for path in sorted(home.folder.iterdir())
        if path.name.startswith(("priced", "rejected"))
    }
    return {**recorded, "files": written}


def _commands() -> list[tuple[tuple[str, ...], str]]:
    """Return the arguments and the standard input of each command."""
    car = json.dumps(PLAIN | {"asking_price_mad": 80_000, "colour": "red"})
    everything = [f"--include={name}" for name in ("contributions", "depreciation", "comparables")]
    batch = ("batch", "stock.csv", "--quiet", "-o")
    return [
        (("--version",), ""),
        (("predict", "-", *everything), car),
        (("predict", "-", "--lang", "fr", "--coverage", "0.5"), car),
        (("predict", "--year", "1800", "--fuel", "x", "--lang", "fr"), ""),
        ((*batch, "priced.csv", "--rejected", "rejected.csv"), ""),
        ((*batch, "priced.ndjson", "--dry-run", "--lang", "fr"), ""),
        (("models", "list"), ""),
        (("outcomes",), ""),
        (("audit", "verify"), ""),
        (("key", "a b"), ""),
        (("market", "show"), ""),
    ]


def _text(text: str, home: str) -> Any:
    text = Placeholders().text(text.replace(home, "<home>"))
    text = re.sub(r"\b\d+ records in \d+ files", "<number> records in <number> files", text)
    text = re.sub(r"\b\d+([.,]\d+)? (s|rows/s|lignes/s)\b", r"<number> \2", text)
    if len(text) > MAX_CHARS:
        return f"<{len(text)} characters, {digest(text)}>"
    return text.splitlines()
