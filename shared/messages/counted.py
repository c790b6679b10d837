"""Texts of remarks that are counted over the rows of a batch."""

from shared.i18n.catalogue import mark

COUNTED_MESSAGES: dict[str, str] = {
    "unreadable-cells": mark(
        "Column {column}: values not read and ignored, their rows are valued without them: "
        "{count} ({values})."
    ),
    "converted": mark(
        "Column {column}: values converted from the unit that they state: {count} ({values})."
    ),
    "unpriced": mark(
        "Column {column}: values that are valued as damaged at best, for lack of "
        "comparable listings; such a car is worth less: {count} ({values})."
    ),
    "misspelt": mark("Column {column}: words read in spite of a typing error: {count} ({values})."),
    "open-range": mark("Column {column}: open ranges, read as their bound: {count} ({values})."),
    "unknown-unit": mark(
        "Column {column}: values ignored, for lack of a known unit: {count} ({values})."
    ),
    "km-high": mark(
        "Column {column}: mileages that are very high for the car's age, please check: "
        "{count} ({values})."
    ),
    "km-low": mark(
        "Column {column}: mileages that are very low for the car's age, please check "
        "(are these thousands?): {count} ({values})."
    ),
    "unit-changed": mark(
        "Column {column}: rows read in the unit that a header or a row of units in the "
        "middle of the file states: {count} ({values})."
    ),
    "unclear-unit": mark(
        "Column {column}: its unit is not clear below a header or a row of units in the "
        "middle of the file: {count} rows, of which only values that state their unit are read."
    ),
    "foreign-currency": mark(
        "Column {column}: prices in another currency than the dirham, without a verdict: "
        "{count} ({values})."
    ),
    "missing-field": mark(
        "{column}: rows without a usable value, whose price is a less certain average: {count}."
    ),
    "name-corrected": mark(
        "Models read otherwise than written (typing error, brand missing): {count} ({values})."
    ),
    "name-ambiguous": mark("Uncertain models, valued with a wider interval: {count} ({values})."),
    "name-unknown": mark(
        "Unknown brands or models, valued with a wider interval: {count} ({values})."
    ),
    "model-unknown": mark(
        "Models without statistics, valued with a wider interval: {count} ({values})."
    ),
    "brand-unknown": mark(
        "Brands that are not in the data, whose prices can be far from the true ones: "
        "{count} ({values})."
    ),
    "extrapolated": mark(
        "{column}: values that hardly any listing of the model is near; prices are "
        "extrapolated, with a wider interval: {count} ({values})."
    ),
    "out-of-listed-range": mark(
        "{column}: values outside the range of all listings; prices are extrapolated, with a "
        "wider interval: {count} ({values})."
    ),
    "unseen-in-model": mark(
        "{column}: values that hardly any listing of the model has, priced by other cars, "
        "with a wider interval: {count} ({values})."
    ),
    "no-effect": mark(
        "{column}: values without an effect on the prices, which the model does not know: "
        "{count} ({values})."
    ),
    "asking-prices-low": mark(
        "{count} of {values} asking prices are below their interval: are they in dirhams, "
        "and in single units?"
    ),
    "asking-prices-high": mark(
        "{count} of {values} asking prices are above their interval: are they in dirhams?"
    ),
}
"""Remarks on the rows of a batch, by code, counted at its end."""
