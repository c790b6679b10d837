"""What the commands of each page need before they can be run: files, ids and a home."""

import datetime as dt
from dataclasses import dataclass, field

STOCK = r"""printf 'Marque;Modèle;Année\nDacia;Logan;2018\nKia;Rio;1016\n' > stock.csv
gzip --keep stock.csv"""
CAR = """echo '{"company": "Dacia", "model": "Logan", "year": 2018}' > car.json"""
KEY = """ID=$(carprice key list --json | jq_ '[0]["id"]'); KEY_ID=$ID"""
TODAY = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
HEALTHY = "until carprice status >status.txt; do sleep 1; done"
"""A reply that a busy machine delays counts as a fault of the service."""
PREDICT = "carprice predict --company Dacia --model Logan --year 2018 > priced.txt"
LISTINGS = (
    "sed 's/,20[0-9][0-9]-[01][0-9],reference/,'\"$(date +%Y-%m)\"',reference/'"
    " {0}/drawn-listings.csv > {1}"
)


@dataclass(frozen=True)
class Setup:
    """How the commands of a page are run.

    Args:
        own: they run with a home of their own and copied models, not with those of the service.
        before: shell commands to run before a command, by its first words. `own` and `shared`
            change the home for what follows.
        replaced: texts of commands that stand for a value of the reader.
        codes: exit codes other than 0, by the first words of a command.
        appended: what a program is followed by, by its first words.
    """

    own: bool = False
    before: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    appended: dict[str, str] = field(default_factory=dict)


COMMON = {
    "http://127.0.0.1:8000": "$URL",
    "/backups": "$FOLDER/backups",
    "/srv/carprice": "$FOLDER",
    "/tmp/rehearsal": "$FOLDER/rehearsal",
}

SETUPS = {
    "README.md": Setup(
        before={
            ".venv/bin/carprice batch": "printf 'company,model,year\\nKia,Rio,2018\\n' > cars.csv",
            ".venv/bin/carprice status": HEALTHY,
        }
    ),
    "docs/batches.md": Setup(
        before={
            "curl -F file=@stock.csv": STOCK,
            'curl "http://127.0.0.1:8000/batches/{id}?wait': "ID=$(jq_ '[\"id\"]' < out.last)",
            "curl -F file=@to-correct.csv": "sed -i s/1016/2016/ to-correct.csv",
        },
        replaced={"{id}": "$ID"},
        codes={"carprice batch": 1, "zcat": 1},
    ),
    "docs/command-line.md": Setup(
        before={
            "carprice completion fish": "mkdir -p ~/.config/fish/completions",
            "carprice --lang ar status": HEALTHY,
            "carprice status": HEALTHY,
        }
    ),
    "docs/demo.md": Setup(own=True, replaced={"docker exec carprice python": ".venv/bin/python"}),
    "docs/drift.md": Setup(
        before={".venv/bin/carprice drift ": PREDICT, ".venv/bin/carprice drift": PREDICT},
        replaced={"2026-10-01": TODAY, "2026-10-31": TODAY},
    ),
    "docs/keys.md": Setup(
        own=True,
        before={".venv/bin/carprice key change": KEY},
        replaced={"change ID": "change $ID", "revoke ID": "revoke $ID"},
    ),
    "docs/how-to/deploy-with-tls.md": Setup(own=True),
    "docs/market.md": Setup(
        own=True,
        before={
            "carprice evaluate": LISTINGS.format("$FOLDER", "my-listings.csv"),
            "carprice recalibrate": LISTINGS.format("$FOLDER", "newer-listings.csv"),
            "carprice models compare": LISTINGS.format("$FOLDER", "new-listings.csv"),
        },
        replaced={" VERSION": " $VERSION"},
    ),
    "docs/model-registry.md": Setup(
        own=True,
        before={"carprice recalibrate": LISTINGS.format("$FOLDER", "listings-of-november.csv")},
        replaced={"2026-11-22T101530-ab12cd": "$VERSION", "model_store/versions": "models"},
    ),
    "docs/how-to/train-on-your-data.md": Setup(
        own=True,
        before={".venv/bin/carprice evaluate": LISTINGS.format("$FOLDER", "listings.csv")},
        replaced={"VERSION": "$VERSION"},
    ),
    "docs/operations.md": Setup(
        before={
            "carprice doctor": "own; carprice key shop > key.txt; chmod 644 home/api-keys.json",
        },
        codes={"carprice doctor": 1},
    ),
    "docs/runbook.md": Setup(
        before={
            ".venv/bin/carprice repair-broker --check": "own; cp -r $SHARED_HOME/broker home/;"
            " carprice repair-broker",  # the end of the copy may be half a command
            ".venv/bin/carprice backup": "shared; mkdir -p backups",
            ".venv/bin/carprice restore": "own; rm -r home models;"
            " cp backups/*.tar.gz backups/2026-11-29.tar.gz",
            "cat var/audit": f"shared; {PREDICT}",
            "carprice dead list": "ID=$(.venv/bin/python -m tests.documented.given_up)",
            "carprice dead drop": "ID=$(.venv/bin/python -m tests.documented.given_up)",
        },
        replaced={"var/audit": "$CARPRICE_HOME/audit", " ID": " $ID"},
    ),
    "docs/how-to/back-up-and-restore.md": Setup(
        before={
            ".venv/bin/carprice backup": "mkdir -p backups",
            ".venv/bin/carprice restore": "own; rm -r home models",
            "cd /srv/carprice": "shared",
        }
    ),
    "docs/valuations.md": Setup(
        before={
            "curl -s -X POST http://127.0.0.1:8000/valuations/$ID": "ID=$(curl -s $URL/predict"
            " -H 'Content-Type: application/json' -d @car.json | jq_ '[\"id\"]')",
            'curl -s "http://127.0.0.1:8000/predict?keep': CAR,
            "carprice models shadow 2026": "own",
        },
        replaced={"2026-11-22T101530-ab12cd": "$VERSION", "2026-11-20": TODAY},
    ),
    "docs/webhooks.md": Setup(
        before={
            "curl -X POST": f"{CAR}; carprice webhooks secret create > secret.txt; sleep 2",
            ".venv/bin/carprice webhooks secret create KEY": f"own; carprice key shop > key; {KEY}",
            ".venv/bin/carprice webhooks list": "shared; carprice webhooks secret remove",
        },
        replaced={
            "KEY_ID": "$KEY_ID",
            "ID...": "unknown",
            "https%3A%2F%2Fshop.example%2Fhooks%2Fprices": "$RECEIVER",
        },
        codes={".venv/bin/carprice webhooks replay": 1},  # nothing was given up
        appended={
            "import base64": "from shared.webhooks.signing import new_secret, signature_headers\n"
            "secret = new_secret()\n"
            "headers = dict(signature_headers('id', int(time.time()), b'{}', [secret]))\n"
            "assert is_genuine(secret, headers, b'{}')\n"
            "assert not is_genuine(secret, headers, b'[]')\n"
        },
    ),
    "deploy/space/README.md": Setup(replaced={"https://NAME-carprice.hf.space": "$URL"}),
}
