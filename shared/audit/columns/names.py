"""Names of the columns of a query; without Arrow, which takes time to import."""

TEXTS = (
    "kind", "caller", "brand", "model", "fuel", "transmission", "version", "status", "error",
    "match", "work_id", "sold_at", "file",
)  # fmt: skip
"""Columns of texts that repeat."""
NUMBERS = (
    "price_mad", "low_mad", "high_mad", "response_time_ms", "year", "km_driven", "sale_price_mad",
)  # fmt: skip
"""Columns of which there are figures."""
COLUMNS = (
    "id", "at", "kind", "caller", "brand", "model", "year", "fuel", "transmission", "km_driven",
    "price_mad", "low_mad", "high_mad", "version", "status", "error", "match", "cached",
    "response_time_ms", "work_id", "sale_price_mad", "sold_at", "file", "offset",
)  # fmt: skip
"""All, in the order of the files."""
ANSWERS = ("predict", "job", "batch")
"""Kinds of answers: of a single car, a car of a list, a row of a batch."""
KINDS = (*ANSWERS, "sale")
"""Kinds of records."""
STATUSES = ("success", "error")
DAY = "day"
"""A group that is no column: the UTC day of the answer."""
GROUPS = (
    DAY, "kind", "caller", "brand", "model", "year", "fuel", "transmission", "version", "status",
    "error", "match", "cached",
)  # fmt: skip
"""By what records are grouped."""
FIGURE_NAMES = ("median", "mean", "min", "max", "sum")
