"""Sums of hedonic effects in plain numpy: what the compiled kernel is compared with."""

import numpy as np

from data.hedonic.model import FloatArray, IntArray


def sum_parts(  # noqa: PLR0917 - the signature of the kernel
    codes: IntArray,
    numbers: FloatArray,
    values: FloatArray,
    key_ends: IntArray,
    keys: IntArray,
    strides: IntArray,
    offsets: IntArray,
    multipliers: IntArray,
    part_ends: IntArray,
    variables: IntArray,
    lows: FloatArray,
    spans: FloatArray,
    origins: FloatArray,
    at_origin: FloatArray,
    parts: FloatArray,
) -> None:
    """As `data.hedonic.kernels.sum_parts`, to the bit."""
    known = numbers[:, variables]
    known[:, 0] = 1.0
    known = np.where(np.isnan(known), origins, known)
    curves = ((known - lows) / spans).clip(0.0, 1.0) - at_origin
    parts.fill(0.0)
    starts = np.concatenate(([0], key_ends[:-1]))
    for column, (start, end) in enumerate(zip(starts, key_ends, strict=True)):
        part = np.searchsorted(part_ends, column, side="right")
        cells = offsets[column] + codes[:, keys[start:end]] @ strides[start:end]
        parts[:, part] += values[cells] * curves[:, multipliers[column]]
