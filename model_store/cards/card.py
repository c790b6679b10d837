"""Writes the model card of a version in each language: use, training data, quality, plots."""

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
from model_store.cards.growth import growth_blocks
from model_store.cards.languages import CardTexts
from model_store.cards.texts import LICENCES, LIMITS, USE
from model_store.registry.manifest import (
    REFERENCE_MARKET,
    ModelVersion,
    card_data_file,
    card_markdown_file,
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
from shared.i18n.languages import LANGUAGES, Language

PLOT_LANGUAGES: tuple[Language, ...] = ("en", "fr")
"""matplotlib writes Arabic letters unjoined and from left to right: the Arabic card shows the
French plots, with headings and descriptions in Arabic."""


def write_card(version: ModelVersion, predictions: CardPredictions) -> dict[str, bytes]:
    """The files of the card by name: data, Markdown and plots in each language.

    Args:
        version: the manifest so far, without the card's own files.
        predictions: out-of-bag predictions of the training listings.
    """
    files: dict[str, bytes] = {}
    for language in LANGUAGES:
        files |= _card(version, predictions, CardTexts(language))
    return files


def _card(
    version: ModelVersion, predictions: CardPredictions, texts: CardTexts
) -> dict[str, bytes]:
    """The files of the card in one language."""
    title = texts("title", version=version.id)
    blocks = [
        *_about(version, texts),
        *_data(version, texts),
        *_quality(version, predictions, texts),
        *_plots(predictions, texts),
        *growth_blocks(version, texts),
    ]
    content = {"title": title, "blocks": blocks}
    return {
        card_data_file(texts.language): json.dumps(content, ensure_ascii=False).encode(),
        card_markdown_file(texts.language): markdown(title, blocks).encode(),
        **(_plot_files(predictions, texts) if texts.language in PLOT_LANGUAGES else {}),
    }


def _plot_files(predictions: CardPredictions, texts: CardTexts) -> dict[str, bytes]:
    prices, ages = by_estimate(predictions), by_age(predictions)
    plots = {
        "predicted": card_plots.predicted_against_actual(predictions, texts),
        "error-by-price": card_plots.error_bars(prices, "axis-estimated-thousand", texts),
        "coverage-by-price": card_plots.coverage_points(prices, "axis-estimated-thousand", texts),
        "error-by-age": card_plots.error_bars(ages, "axis-age", texts),
        "coverage-by-age": card_plots.coverage_points(ages, "axis-age", texts),
        "error-by-brand": card_plots.error_bars(by_brand(predictions), "axis-brand", texts),
        "importance": card_plots.importance_bars(predictions, texts),
    }
    return {_plot_file(name, texts): content for name, content in plots.items()}


def _plot_file(name: str, texts: CardTexts) -> str:
    language = texts.language if texts.language in PLOT_LANGUAGES else "fr"
    return f"card-{name}.png" if language == "en" else f"card-{language}-{name}.png"


def _about(version: ModelVersion, texts: CardTexts) -> list[Block]:
    libraries = ", ".join(f"{name} {release}" for name, release in version.libraries.items())
    return [
        paragraph(
            texts(
                "about",
                estimator=version.estimator,
                trees=texts.number(version.tree_count),
                nodes=texts.number(version.node_count),
            )
        ),
        table(
            ("", ""),
            [
                (texts("made"), texts("made-at", time=f"{version.created_at:%Y-%m-%d %H:%M}")),
                (texts("level-of"), version.data_as_of),
                (texts("basis"), texts.known(version.basis)),
                (texts("libraries"), libraries),
                (texts("schema"), version.schema_version),
            ],
        ),
        heading(texts("use")),
        bullets(*texts.listed(USE)),
        heading(texts("limits")),
        bullets(*texts.listed(LIMITS)),
    ]


def _data(version: ModelVersion, texts: CardTexts) -> list[Block]:
    training = version.training
    months = training.get("months")
    listed = texts("months", first=months[0], last=months[-1]) if months else texts("not-dated")
    rows: list[tuple[str, object]] = [
        (texts("listings"), texts.number(training["rows"])),
        (texts("name"), texts.known(training["name"])),
        (texts("listed"), listed),
        (texts("fingerprint"), training["digest"]),
        (texts("seed"), training.get("seed", "-")),
    ]
    note = "generated" if training["name"] == REFERENCE_MARKET else "operators"
    return [
        heading(texts("data")),
        paragraph(texts(note)),
        table(("", ""), rows),
        heading(texts("licences")),
        bullets(*texts.listed(LICENCES)),
    ]


def _quality(version: ModelVersion, predictions: CardPredictions, texts: CardTexts) -> list[Block]:
    metrics = version.metrics
    mean_error = texts(
        "mean-error-value",
        mae=texts.number(metrics["mae_mad"]),
        mape=texts.percent(metrics["mape"], 2),
    )
    return [
        heading(texts("quality")),
        paragraph(texts("split", split=texts.split(metrics["split"]))),
        table(
            (texts("figure"), texts("value")),
            [
                (texts("median-error"), texts.percent(metrics["median_ape"], 2)),
                (texts("mean-error"), mean_error),
                (texts("r2"), texts.number(metrics["r2"], 4)),
                (texts("r2-log"), texts.number(metrics["r2_log"], 4)),
                (texts("r2-baseline"), texts.number(_baseline_r2(predictions), 4)),
                (texts("inside"), texts.percent(100 * metrics["coverage_90"])),
            ],
        ),
        paragraph(texts("by-level")),
        _group_table("information", by_level(predictions), texts),
    ]


def _plots(predictions: CardPredictions, texts: CardTexts) -> list[Block]:
    def plot(name: str) -> Block:
        return image(_plot_file(name, texts), texts(f"{name}-alt"))

    return [
        heading(texts("estimates")),
        *([] if texts.language in PLOT_LANGUAGES else [paragraph(texts("french-plots"))]),
        plot("predicted"),
        paragraph(texts("hexagons")),
        heading(texts("by-price")),
        paragraph(texts("tenths")),
        plot("error-by-price"),
        plot("coverage-by-price"),
        _group_table("estimated-thousand", by_estimate(predictions), texts),
        heading(texts("by-age")),
        plot("error-by-age"),
        plot("coverage-by-age"),
        _group_table("age", by_age(predictions), texts),
        heading(texts("by-brand")),
        plot("error-by-brand"),
        _group_table("brand", by_brand(predictions), texts),
        heading(texts("importance")),
        plot("importance"),
        paragraph(texts("weights")),
    ]


def _group_table(label: str, groups: Sequence[GroupMetrics], texts: CardTexts) -> Block:
    columns = (label, "listings", "column-median-error", "bias", "column-inside")
    rows = [
        (
            texts.group(group.label),
            texts.number(group.listings),
            texts.percent(group.median_ape),
            texts.percent(group.bias, signed=True),
            texts.percent(100 * group.coverage_90),
        )
        for group in groups
    ]
    return table([texts(column) for column in columns], rows)


def _baseline_r2(predictions: CardPredictions) -> float:
    return round(r2(np.log(predictions.actual_mad), np.log(predictions.baseline_mad)), 4)
