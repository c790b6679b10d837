"""Runs the query of every panel in a Prometheus: `make panels` after some load.

A panel without data whose description does not say why it may be empty is a failure.
"""

import sys
from typing import Any

import httpx
import yaml

from scripts.write_dashboards import FOLDER

USUAL_ADDRESS = "http://127.0.0.1:9090"


def main() -> int:
    """Print the panels without data; return 1 if one of them has no reason for it."""
    address = sys.argv[1] if len(sys.argv) > 1 else USUAL_ADDRESS
    boards = yaml.safe_load((FOLDER / "dashboards.yml").read_text(encoding="utf-8"))
    shown = empty = unexplained = 0
    with httpx.Client(base_url=address, timeout=30.0) as prometheus:
        for board in boards.values():
            for panel in board["panels"]:
                if any(has_data(prometheus, query) for query in panel["queries"].values()):
                    shown += 1
                    continue
                empty += 1
                unexplained += "empty" not in panel
                reason = panel.get("empty", "NO DATA, and no reason for it")
                print(f"{board['title']}: {panel['title']}: {reason}")
    print(f"{shown} panels have data, {empty} have none, {unexplained} of them without a reason")
    return 1 if unexplained else 0


def has_data(prometheus: httpx.Client, query: str) -> bool:
    """Whether a query has a value that is a number."""
    answer = prometheus.get("/api/v1/query", params={"query": query}).raise_for_status().json()
    found: list[dict[str, Any]] = answer["data"]["result"]
    return any(one["value"][1] != "NaN" for one in found)


if __name__ == "__main__":
    sys.exit(main())
