"""Writes the model card of a version: intended use, training data, quality, plots."""

import json
from collections.abc import Sequence

import numpy as np

from model_store.cards import plots as card_plots
from model_store.cards.blocks import (
    Block,
    bullets,
    heading,
    image,
    markdown,
    paragraph,
    table,
)
from model_store.registry.manifest import (
    CARD_DATA_FILE,
    CARD_MARKDOWN_FILE,
    REFERENCE_MARKET,
    ModelVersion,
)
from model_store.training.card_predictions import (
    CardPredictions,
    GroupMetrics,
    by_age,
    by_brand,
    by_estimate,
    by_level,
)
from model_store.training.evaluation import r2

_USE = (
    "Meant for: a first idea of what a used passenger car is asked for in Morocco.",
    "Meant for: a check whether an asking price is usual; the value of a stock as a whole.",
    "Not meant for: a sale price, an expert's appraisal, insurance, court, decisions on a person.",
    "Not meant for: lorries, motorcycles, collectors' cars, wrecks, other countries.",
)
_LIMITS = (
    "Prices are asking prices: what sellers hope for, usually above what is paid.",
    "The level is that of the month named above; nothing after it is known to the model.",
    "It knows only the fields of the form: no accident, no service record, no photograph.",
    "A model that is not in the data is priced from brand and features, and the answer says so.",
    "Dear and rare cars are few: their errors in dirhams are the largest.",
)
_SYNTHETIC_DATA_NOTE = (
    "This version is trained on a GENERATED market: listings drawn by a seeded program from "
    "statistics of real asking prices (every figure from ten listings or more). The figures below "
    "say how well the forest finds those statistics again. They are no measurement on real cars: "
    "that is what 'carprice evaluate' is for, and docs/market.md states its result."
)
_OPERATOR_DATA_NOTE = (
    "This version is trained on listings that its operator supplied. The figures below are of "
    "those listings, each priced by trees and a baseline that did not see it."
)
_LICENCES = (
    "Program and reference market: MIT (file LICENSE).",
    "Listings that an operator trains on stay under their own licence.",
    "No listing is in this card or in the version's files.",
)


def write_card(version: ModelVersion, predictions: CardPredictions) -> dict[str, bytes]:
    """The files of the card by name: `card.json`, `card.md` and the plots.

    Args:
        version: the manifest so far, without the card's own files.
        predictions: out-of-bag predictions of the training listings.
    """
    prices, ages = by_estimate(predictions), by_age(predictions)
    plots = {
        "card-predicted.png": card_plots.predicted_against_actual(predictions),
        "card-error-by-price.png": card_plots.error_bars(prices, "Estimated (thousand MAD)"),
        "card-coverage-by-price.png": card_plots.coverage_points(
            prices, "Estimated (thousand MAD)"
        ),
        "card-error-by-age.png": card_plots.error_bars(ages, "Age (years)"),
        "card-error-by-brand.png": card_plots.error_bars(by_brand(predictions), "Brand"),
        "card-importance.png": card_plots.importance_bars(predictions),
    }
    title = f"Model card {version.id}"
    blocks = [
        *_about(version),
        *_data(version),
        *_quality(version, predictions),
        *_plots(predictions),
    ]
    content = {"title": title, "blocks": blocks}
    return {
        CARD_DATA_FILE: json.dumps(content, ensure_ascii=False).encode(),
        CARD_MARKDOWN_FILE: markdown(title, blocks).encode(),
        **plots,
    }


def _about(version: ModelVersion) -> list[Block]:
    libraries = ", ".join(f"{name} {release}" for name, release in version.libraries.items())
    return [
        paragraph(
            "Prices used cars in Morocco, in dirhams, with intervals. "
            f"{version.estimator} of {version.tree_count} trees ({version.node_count:,} nodes) on "
            "the residual of a hedonic ridge regression of the log price."
        ),
        table(
            ("", ""),
            [
                ("made", f"{version.created_at:%Y-%m-%d %H:%M} UTC"),
                ("quotes the level of", version.data_as_of),
                ("basis", version.basis.replace("_", " ")),
                ("libraries", libraries),
                ("schema", version.schema_version),
            ],
        ),
        heading("Intended use"),
        bullets(*_USE),
        heading("Limits"),
        bullets(*_LIMITS),
    ]


def _data(version: ModelVersion) -> list[Block]:
    training = version.training
    listed = training.get("months")
    rows: list[tuple[str, object]] = [
        ("listings", f"{training['rows']:,}"),
        ("name", training["name"]),
        ("listed", " to ".join(listed) if listed else "not dated"),
        ("fingerprint (SHA-256)", training["digest"]),
        ("seed", training.get("seed", "-")),
    ]
    return [
        heading("Training data"),
        paragraph(
            _SYNTHETIC_DATA_NOTE if training["name"] == REFERENCE_MARKET else _OPERATOR_DATA_NOTE
        ),
        table(("", ""), rows),
        heading("Licences"),
        bullets(*_LICENCES),
    ]


def _quality(version: ModelVersion, predictions: CardPredictions) -> list[Block]:
    metrics = version.metrics
    return [
        heading("Quality"),
        paragraph(f"How it was measured: {metrics['split']}."),
        table(
            ("figure", "value"),
            [
                ("median absolute error", f"{metrics['median_ape']} %"),
                ("mean absolute error", f"{metrics['mae_mad']:,.0f} MAD ({metrics['mape']} %)"),
                ("R²", metrics["r2"]),
                ("R² of the log price", metrics["r2_log"]),
                ("the same, baseline alone", _baseline_r2(predictions)),
                ("inside the 90 % interval", f"{100 * metrics['coverage_90']:.1f} %"),
            ],
        ),
        paragraph("By what was told of the car:"),
        _group_table("information", by_level(predictions)),
    ]


def _plots(predictions: CardPredictions) -> list[Block]:
    return [
        heading("Estimates and asking prices"),
        image("card-predicted.png", "Estimates against asking prices, counted in hexagons"),
        paragraph("Hexagons with fewer than ten listings are left empty."),
        heading("By price"),
        paragraph(
            "Tenths of the estimates: what a caller sees. Tenths of the asking prices would pick "
            "listings by their own error."
        ),
        image("card-error-by-price.png", "Median absolute error by tenth of the estimates"),
        image(
            "card-coverage-by-price.png", "Coverage of the 90 % interval by tenth of the estimates"
        ),
        _group_table("estimated (thousand MAD)", by_estimate(predictions)),
        heading("By age"),
        image("card-error-by-age.png", "Median absolute error by age of the car"),
        _group_table("age (years)", by_age(predictions)),
        heading("By brand"),
        image("card-error-by-brand.png", "Median absolute error by brand"),
        _group_table("brand", by_brand(predictions)),
        heading("What the forest looks at"),
        image("card-importance.png", "Weight of each column in the forest"),
        paragraph(
            "Weights of the forest alone (mean decrease in impurity), which corrects the baseline: "
            "a field that the baseline has explained already has little left to say here."
        ),
    ]


def _group_table(x_label: str, groups: Sequence[GroupMetrics]) -> Block:
    header = (x_label, "listings", "median error", "bias", "inside 90 %")
    rows = [
        (
            group.label,
            f"{group.listings:,}",
            f"{group.median_ape} %",
            f"{group.bias:+.1f} %",
            f"{100 * group.coverage_90:.1f} %",
        )
        for group in groups
    ]
    return table(header, rows)


def _baseline_r2(predictions: CardPredictions) -> float:
    return round(r2(np.log(predictions.actual_mad), np.log(predictions.baseline_mad)), 4)
