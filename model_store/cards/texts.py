"""Texts of the model card, in English; the catalogue translates them in the context `card`."""

from collections.abc import Mapping, Sequence

from shared.i18n.catalogue import mark_in_context

CONTEXT = "card"

TEXTS: Mapping[str, str] = {
    "title": mark_in_context("card", "Model card {version}"),
    "about": mark_in_context(
        "card",
        "Prices used cars in Morocco, in dirhams, with intervals. {estimator} of {trees} "
        "trees ({nodes} nodes) on the residual of a hedonic ridge regression of the log "
        "price.",
    ),
    "made": mark_in_context("card", "made"),
    "made-at": mark_in_context("card", "{time} UTC"),
    "level-of": mark_in_context("card", "quotes the level of"),
    "basis": mark_in_context("card", "basis"),
    "asking_prices": mark_in_context("card", "asking prices"),
    "libraries": mark_in_context("card", "libraries"),
    "schema": mark_in_context("card", "schema"),
    "use": mark_in_context("card", "Intended use"),
    "limits": mark_in_context("card", "Limits"),
    "data": mark_in_context("card", "Training data"),
    "listings": mark_in_context("card", "listings"),
    "name": mark_in_context("card", "name"),
    "reference market": mark_in_context("card", "reference market"),
    "listed": mark_in_context("card", "listed"),
    "months": mark_in_context("card", "{first} to {last}"),
    "not-dated": mark_in_context("card", "not dated"),
    "fingerprint": mark_in_context("card", "fingerprint (SHA-256)"),
    "seed": mark_in_context("card", "seed"),
    "generated": mark_in_context(
        "card",
        "This version is trained on a GENERATED market: listings drawn by a seeded program "
        "from statistics of real asking prices (every figure from ten listings or more). "
        "The figures below say how well the forest finds those statistics again. They are "
        "no measurement on real cars: that is what 'carprice evaluate' is for, and "
        "docs/market.md states its result.",
    ),
    "operators": mark_in_context(
        "card",
        "This version is trained on listings that its operator supplied. The figures below "
        "are of those listings, each priced by trees and a baseline that did not see it.",
    ),
    "licences": mark_in_context("card", "Licences"),
    "quality": mark_in_context("card", "Quality"),
    "split": mark_in_context("card", "How it was measured: {split}."),
    "figure": mark_in_context("card", "figure"),
    "value": mark_in_context("card", "value"),
    "median-error": mark_in_context("card", "median absolute error"),
    "mean-error": mark_in_context("card", "mean absolute error"),
    "mean-error-value": mark_in_context("card", "{mae} MAD ({mape})"),
    "r2": mark_in_context("card", "R²"),
    "r2-log": mark_in_context("card", "R² of the log price"),
    "r2-baseline": mark_in_context("card", "the same, baseline alone"),
    "inside": mark_in_context("card", "inside the 90 % interval"),
    "by-level": mark_in_context("card", "By what was told of the car:"),
    "information": mark_in_context("card", "information"),
    "estimates": mark_in_context("card", "Estimates and asking prices"),
    "predicted-alt": mark_in_context(
        "card", "Estimates against asking prices, counted in hexagons"
    ),
    "hexagons": mark_in_context("card", "Hexagons with fewer than ten listings are left empty."),
    "by-price": mark_in_context("card", "By price"),
    "tenths": mark_in_context(
        "card",
        "Tenths of the estimates: what a caller sees. Tenths of the asking prices would "
        "pick listings by their own error.",
    ),
    "error-by-price-alt": mark_in_context(
        "card", "Median absolute error by tenth of the estimates"
    ),
    "coverage-by-price-alt": mark_in_context(
        "card", "Coverage of the 90 % interval by tenth of the estimates"
    ),
    "estimated-thousand": mark_in_context("card", "estimated (thousand MAD)"),
    "by-age": mark_in_context("card", "By age"),
    "error-by-age-alt": mark_in_context("card", "Median absolute error by age of the car"),
    "coverage-by-age-alt": mark_in_context(
        "card", "Coverage of the 90 % interval by age of the car"
    ),
    "age": mark_in_context("card", "age (years)"),
    "by-brand": mark_in_context("card", "By brand"),
    "error-by-brand-alt": mark_in_context("card", "Median absolute error by brand"),
    "brand": mark_in_context("card", "brand"),
    "importance": mark_in_context("card", "What the forest looks at"),
    "importance-alt": mark_in_context("card", "Weight of each column in the forest"),
    "weights": mark_in_context(
        "card",
        "Weights of the forest alone (mean decrease in impurity), which corrects the "
        "baseline: a field that the baseline has explained already has little left to say "
        "here.",
    ),
    "column-median-error": mark_in_context("card", "median error"),
    "bias": mark_in_context("card", "bias"),
    "column-inside": mark_in_context("card", "inside 90 %"),
    "axis-asked": mark_in_context("card", "Asked (MAD)"),
    "axis-estimated": mark_in_context("card", "Estimated (MAD)"),
    "axis-estimated-thousand": mark_in_context("card", "Estimated (thousand MAD)"),
    "axis-age": mark_in_context("card", "Age (years)"),
    "axis-brand": mark_in_context("card", "Brand"),
    "axis-error": mark_in_context("card", "Median absolute error (%)"),
    "axis-inside": mark_in_context("card", "Inside the 90 % interval (%)"),
    "axis-weight": mark_in_context("card", "Weight in the forest (%)"),
    "equal": mark_in_context("card", "estimate = asked"),
    "nominal": mark_in_context("card", "nominal"),
    "measured": mark_in_context("card", "measured"),
    "french-plots": mark_in_context("card", "The labels of the plots are in French."),
}

USE: Sequence[str] = (
    mark_in_context(
        "card", "Meant for: a first idea of what a used passenger car is asked for in Morocco."
    ),
    mark_in_context(
        "card",
        "Meant for: a check whether an asking price is usual; the value of a stock as a whole.",
    ),
    mark_in_context(
        "card",
        "Not meant for: a sale price, an expert's appraisal, insurance, court, decisions "
        "on a person.",
    ),
    mark_in_context(
        "card", "Not meant for: lorries, motorcycles, collectors' cars, wrecks, other countries."
    ),
)
LIMITS: Sequence[str] = (
    mark_in_context(
        "card", "Prices are asking prices: what sellers hope for, usually above what is paid."
    ),
    mark_in_context(
        "card",
        "The level is that of the month named above; nothing after it is known to the model.",
    ),
    mark_in_context(
        "card",
        "It knows only the fields of the form: no accident, no service record, no photograph.",
    ),
    mark_in_context(
        "card",
        "A model that is not in the data is priced from brand and features, and the answer "
        "says so.",
    ),
    mark_in_context("card", "Dear and rare cars are few: their errors in dirhams are the largest."),
)
LICENCES: Sequence[str] = (
    mark_in_context("card", "Program and reference market: MIT (file LICENSE)."),
    mark_in_context("card", "Listings that an operator trains on stay under their own licence."),
    mark_in_context("card", "No listing is in this card or in the version's files."),
)
