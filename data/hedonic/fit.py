"""Estimates a `HedonicModel` from listings by one robust ridge regression over all terms."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse
from scipy.sparse.linalg import lsqr

from data.hedonic.ageing import with_isotonic_ageing, with_rising_prices
from data.hedonic.impute_effects import with_imputed_effects
from data.hedonic.model import (
    BRAND_CLASS,
    SEPARATOR,
    WORD,
    Cell,
    FloatArray,
    HedonicModel,
    IntArray,
    Term,
)
from data.hedonic.ordinal_encoder import KEY_COLUMNS, tokenize_edition
from data.listings.table import join_texts
from data.vehicles.names import BRAND_CLASSES

_ITERATIONS = (60, 40, 40)
"""LSQR iterations of each round of reweighting, which starts from the previous solution. Columns
are scaled to similar norms: without that, they stop far from the solution."""
_HUBER_DELTA = 1.5
_MIN_RESIDUAL = 1e-9
_DIGITS = 4
_MIN_STATED_SHARE = 0.05
"""Curves of numbers that fewer listings state are left out: such listings are a biased sample."""


Covariates: TypeAlias = FloatArray | scipy.sparse.csr_matrix
"""(n, m), dense or sparse."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class HedonicFit:
    """A fitted model, and the coefficients of the nuisance columns."""

    model: HedonicModel
    nuisance: FloatArray


@dataclasses.dataclass(frozen=True, slots=True)
class _Block:
    """The columns of one term in the design matrix."""

    term: Term
    names: tuple[str, ...]
    counts: IntArray
    design: scipy.sparse.csr_matrix


def fit_hedonic(
    listings: pd.DataFrame,
    log_price: FloatArray,
    terms: Sequence[Term],
    *,
    min_count: int = 10,
    nuisance: Covariates | None = None,
    weights: FloatArray | None = None,
) -> HedonicFit:
    """Estimate every term from `listings`.

    Args:
        listings: canonical columns (`data.listings.table`), normal-form values.
        log_price: (n,) natural log of the price in MAD.
        terms: terms to estimate; terms and cells with fewer than `min_count` listings are left out.
        min_count: fewest listings behind each coefficient.
        nuisance: (n, m) covariates of the listing rather than the car (its date), which prevent a
            bias of the effects; the model predicts for all of them being 0.
        weights: (n,) weights of the listings (`data.listings.weights`); None for equal ones.
    """
    blocks = [block for term in terms if (block := _block(listings, term, min_count)) is not None]
    extra = np.empty((len(listings), 0)) if nuisance is None else nuisance
    design = scipy.sparse.hstack(
        [block.design / np.sqrt(block.term.penalty) for block in blocks]
        + [scipy.sparse.csr_matrix(extra)]
    ).tocsr()
    non_increasing = np.concatenate(
        [np.full(block.design.shape[1], block.term.non_increasing) for block in blocks]
        + [np.zeros(extra.shape[1], dtype=bool)]
    )
    prior = np.ones(len(listings)) if weights is None else weights
    intercept, scaled = _robust_ridge(design, log_price, prior, non_increasing)
    cells: dict[str, Mapping[str, Cell]] = {}
    start = 0
    for block in blocks:
        end = start + block.design.shape[1]
        cells[block.term.name] = _cells(block, scaled[start:end])
        start = end
    model = HedonicModel(
        intercept=round(intercept, _DIGITS),
        terms=tuple(block.term for block in blocks),
        cells=cells,
        vehicle_years=_vehicle_years(listings, min_count),
    )
    model = with_rising_prices(with_isotonic_ageing(model, listings))
    model = with_imputed_effects(model, listings, min_count)
    return HedonicFit(model=model, nuisance=scaled[start:])


def _robust_ridge(
    design: scipy.sparse.csr_matrix,
    target: FloatArray,
    prior: FloatArray,
    non_increasing: npt.NDArray[np.bool_],
) -> tuple[float, FloatArray]:
    """Ridge regression with Huber weights, which bound the influence of typing errors in prices.

    A `non_increasing` column whose coefficient becomes positive is fixed at zero.

    Args:
        design: (n, k) columns, scaled for a penalty of 1.
        target: (n,)
        prior: (n,) weights of the listings, multiplied by the Huber weights.
        non_increasing: (k,)

    Returns:
        Intercept and coefficients (k,).
    """
    weights = prior
    free = np.ones(design.shape[1])
    intercept = float(np.median(target))
    solution = np.zeros(design.shape[1])
    for iterations in _ITERATIONS:
        solution = _ridge(
            design, target - intercept, weights, free=free, start=solution, iterations=iterations
        )
        free[non_increasing & (solution > 0)] = 0.0
        solution *= free
        residual = target - intercept - design @ solution
        intercept += float(np.average(residual, weights=weights))
        width = _HUBER_DELTA * 1.4826 * float(np.median(np.abs(residual)))
        # If most residuals are zero (all prices equal, for example) their weights stay 1.
        width = max(width, _MIN_RESIDUAL)
        weights = prior * np.minimum(1.0, width / np.maximum(np.abs(residual), _MIN_RESIDUAL))
    return intercept, solution


def _ridge(
    design: scipy.sparse.csr_matrix,
    target: FloatArray,
    weights: FloatArray,
    *,
    free: FloatArray,
    start: FloatArray,
    iterations: int,
) -> FloatArray:
    """Minimise the weighted squares of the residuals plus the squares of the coefficients.

    The penalty is part of the system, as further rows, so that each column of the whole system has
    norm 1.

    Args:
        design: (n, k)
        target: (n,)
        weights: (n,)
        free: (k,) 0 for coefficients that stay 0, else 1.
        start: (k,) first guess.
        iterations: of LSQR.
    """
    scale = free / np.sqrt(design.multiply(design).T @ weights + 1.0)
    root = np.sqrt(weights)
    rows = design.multiply(root[:, None]).multiply(scale)
    system = scipy.sparse.vstack([rows, scipy.sparse.diags(scale)]).tocsr()
    aim = np.concatenate([target * root, np.zeros(len(scale))])
    guess = np.divide(start, scale, out=np.zeros_like(start), where=scale > 0)
    return np.asarray(
        scale * lsqr(system, aim, atol=0.0, btol=0.0, iter_lim=iterations, x0=guess)[0]
    )


def _block(listings: pd.DataFrame, term: Term, min_count: int) -> _Block | None:
    """The term's design columns; None if too few listings state it, or all state the same."""
    names, rows, codes = _cell_codes(listings, term)
    values = np.ones((len(rows), 1))
    if term.curve is not None:
        numbers = listings[term.curve.variable].to_numpy(dtype=np.float64)[rows]
        values = term.curve.columns(numbers)
        codes = np.where(np.isnan(numbers), -1, codes)
        if np.sum(codes >= 0) < _MIN_STATED_SHARE * len(listings):
            return None
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    kept = np.flatnonzero(counts >= min_count)
    if len(kept) == 0:
        return None
    if term.curve is None and len(counts) == 1 and counts[0] == len(listings):
        return None  # part of the intercept: what all cars share is no effect of a field
    position = np.full(len(names) + 1, -1)
    position[kept] = np.arange(len(kept))
    columns = position[codes]
    used = np.flatnonzero(columns >= 0)
    width = term.width
    filled = columns[used, None] * width + np.arange(width)
    design = scipy.sparse.csr_matrix(
        (values[used].ravel(), (np.repeat(rows[used], width), filled.ravel())),
        shape=(len(listings), len(kept) * width),
    )
    design.eliminate_zeros()
    return _Block(term, tuple(names[i] for i in kept), counts[kept], design)


def _cell_codes(listings: pd.DataFrame, term: Term) -> tuple[list[str], IntArray, IntArray]:
    """Keys of the cells that occur, then pairs of a listing's row and its cell.

    A listing has one cell, or one for each word of its edition.
    """
    rows = np.arange(len(listings))
    if not term.keys:
        return [""], rows, np.zeros(len(listings), dtype=np.int64)
    columns = []
    if WORD in term.keys:
        words = [tokenize_edition(edition) for edition in listings["edition"]]
        rows = np.repeat(rows, [len(found) for found in words])
        columns.append(pd.Series([word for found in words for word in found], dtype=object))
    fields = [part for key in term.keys if key != WORD for part in KEY_COLUMNS.get(key, (key,))]
    columns[:0] = [_text(_column(listings, field).iloc[rows]) for field in fields]
    codes, names = pd.factorize(join_texts(columns), sort=True)
    return [str(name) for name in names], rows, codes.astype(np.int64)


def _column(listings: pd.DataFrame, field: str) -> pd.Series:
    """A column of the listings, or the class of their brands."""
    if field == BRAND_CLASS:
        return listings["company"].map(BRAND_CLASSES)
    return listings[field]


def _text(column: pd.Series) -> pd.Series:
    """The values as written in a cell's key; missing values are empty."""
    codes, values = pd.factorize(column)
    words = [str(int(v)) if isinstance(v, float) else str(v) for v in values]
    return pd.Series(np.array([*words, ""], dtype=object)[codes])


def _cells(block: _Block, scaled: FloatArray) -> dict[str, Cell]:
    coefficients = scaled.reshape(len(block.names), -1) / np.sqrt(block.term.penalty)
    return {
        name: Cell(int(count), tuple(round(float(c), _DIGITS) for c in row))
        for name, count, row in zip(block.names, block.counts, coefficients, strict=True)
    }


def _vehicle_years(listings: pd.DataFrame, min_count: int) -> dict[str, float]:
    grouped = listings.groupby(_text(listings["company"]) + SEPARATOR + _text(listings["model"]))
    years = grouped["year"].agg(["size", "median"])
    return {str(n): float(row["median"]) for n, row in years.iterrows() if row["size"] >= min_count}
