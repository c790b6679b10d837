"""The model card of a recalibrated version.

It is the card of the version whose forest is used, with a part on the recalibration.
"""

import json
from pathlib import Path

from model_store.cards.blocks import Block, heading, markdown, paragraph, table
from model_store.registry.manifest import CARD_DATA_FILE, CARD_MARKDOWN_FILE, ModelVersion


def recalibrated_card(folder: Path, version: ModelVersion) -> dict[str, bytes]:
    """The files of the card by name; none if the version in `folder` has no card.

    Args:
        folder: of the version whose forest is used.
        version: the manifest so far, with `calibrated_on`.
    """
    if not (folder / CARD_DATA_FILE).exists():
        return {}
    former = json.loads((folder / CARD_DATA_FILE).read_bytes())
    title = f"Model card {version.id}"
    blocks = [*_recalibration(version), *former["blocks"]]
    plots = {path.name: path.read_bytes() for path in sorted(folder.glob("card-*.png"))}
    return {
        CARD_DATA_FILE: json.dumps({"title": title, "blocks": blocks}, ensure_ascii=False).encode(),
        CARD_MARKDOWN_FILE: markdown(title, blocks).encode(),
        **plots,
    }


def _recalibration(version: ModelVersion) -> list[Block]:
    facts = dict(version.calibrated_on or {})
    months = facts["months"]
    return [
        heading("Recalibration"),
        paragraph(
            f"This version has the forest of {facts['version']}. Its price level and its intervals"
            " were recalibrated; all other parts of this card describe that version as trained,"
            " at its own price level."
        ),
        table(
            ("", ""),
            [
                ("data", facts["name"]),
                ("listings", f"{facts['rows']:,}"),
                ("listed", " to ".join(months) if months else "-"),
                ("reported sales", f"{facts['sales']:,}"),
                ("quotes the level of", version.data_as_of),
                ("change of the price level", f"{100 * (facts['price_level'] - 1):+.1f} %"),
                ("width of the intervals, median factor", facts["width_factor"]),
                ("inside the 90 % interval before", f"{100 * facts['coverage_before']:.1f} %"),
                ("inside it now, cross-fitted", f"{100 * facts['coverage_after']:.1f} %"),
            ],
        ),
    ]
