"""Writes the files of a home as a release leaves them: API keys and the audit log.

Run it in a checkout of the release, with the id of its commit, as `write.py`:

    python -m tests.stored_records.write_home 6c92447

The file `homes/<id>.json` is never written again by a later release: `test_stored_home.py` proves
that the current code goes on with such a home.
"""

import base64
import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from shared.audit.checkpoints import Checkpoints
from shared.audit.log import AuditLog
from shared.keys.entries import KeyLimits, Scope, new_key
from shared.keys.store import FileKeyStore
from shared.settings import Settings
from tests.audit_segments import AT, audit_record

FOLDER = Path(__file__).parent / "homes"
CARS = (
    {"company": "Dacia", "model": "Logan", "year": 2018, "km_driven": 120_000},
    {"company": "Renault", "model": "Clio", "year": 2016, "km_driven": 90_000},
)
PER_DAY = 50_000


def write(target: Path) -> None:
    """Write the home and the keys as their callers know them."""
    with tempfile.TemporaryDirectory(prefix="cp-") as folder:
        home = Path(folder)
        settings = Settings(home=home)
        keys = _write_keys(settings)
        for process in ("api", "worker"):
            log = AuditLog.of(settings, process, _at, Checkpoints.of(settings, _at))
            for number, car in enumerate(CARS):
                made = audit_record(car, f"{process}-{number}", caller="shop")
                log.append([dataclasses.replace(made, at=AT + number)])
            log.close()
        files = {
            str(path.relative_to(home)): base64.b64encode(path.read_bytes()).decode()
            for path in sorted(home.rglob("*"))
            if path.is_file()
        }
    document = {"keys": keys, "files": files}
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _write_keys(settings: Settings) -> dict[str, str]:
    """The keys by their callers; only their hashes are in the home."""
    shop, shop_entry = new_key(
        "shop", frozenset({Scope.PREDICT, Scope.BULK}), limits=KeyLimits(cars_per_day=PER_DAY)
    )
    admin, admin_entry = new_key("operator", frozenset({Scope.ADMIN}))
    FileKeyStore.of(settings).change(lambda entries: [*entries, shop_entry, admin_entry])
    return {"shop": shop, "operator": admin}


def _at() -> float:
    return AT


if __name__ == "__main__":
    write(FOLDER / f"{sys.argv[1]}.json")
