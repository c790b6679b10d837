"""The alert rules with short durations, for a Prometheus that evaluates them many times a second.

Thresholds, labels and the structure of every expression stay as they are. Only durations change:
each `for`, each range (`[5m]`) and each offset becomes at most as long as given here. A rule that
would never fire with its own durations does not fire with these either.
"""

import re
from typing import Any

import yaml

FOR = "400ms"
RANGE_S = 4
"""Several scrapes must lie in a range, or `increase` and `rate` have no value."""

_DURATION = r"\d+(?:ms|s|m|h|d|w)"


def scaled_rules(text: str) -> str:
    """The text of a rules file with short durations."""
    rules: dict[str, Any] = yaml.safe_load(text)
    for group in rules["groups"]:
        group["interval"] = "200ms"
        for rule in group["rules"]:
            rule["expr"] = re.sub(rf"\[{_DURATION}\]", f"[{RANGE_S}s]", rule["expr"])
            rule["expr"] = re.sub(rf"offset {_DURATION}", f"offset {RANGE_S}s", rule["expr"])
            if "for" in rule:
                rule["for"] = FOR
    return yaml.safe_dump(rules)
