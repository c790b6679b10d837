"""Writes Grafana's dashboards (JSON) from monitoring/grafana/dashboards.yml: `make dashboards`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[1] / "monitoring" / "grafana"
COLUMNS = 24
PANEL_WIDTH = 12
PANEL_HEIGHT = 8
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
SCHEMA_VERSION = 41


def dashboards() -> Iterator[tuple[Path, str]]:
    """Yield the path and the JSON text of every dashboard."""
    definitions = yaml.safe_load((FOLDER / "dashboards.yml").read_text(encoding="utf-8"))
    for uid, definition in definitions.items():
        text = json.dumps(_dashboard(uid, definition), indent=2, ensure_ascii=False)
        yield FOLDER / "dashboards" / f"{uid}.json", f"{text}\n"


def _dashboard(uid: str, definition: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": f"carprice-{uid}",
        "title": definition["title"],
        "tags": ["carprice"],
        "timezone": "browser",
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "panels": [_panel(number, panel) for number, panel in enumerate(definition["panels"])],
    }


def _panel(number: int, definition: dict[str, Any]) -> dict[str, Any]:
    """Return one panel; two panels form a row."""
    kind = definition.get("kind", "timeseries")
    return {
        "id": number + 1,
        "type": kind,
        "title": definition["title"],
        "description": definition.get("empty", ""),
        "datasource": DATASOURCE,
        "gridPos": {
            "x": number * PANEL_WIDTH % COLUMNS,
            "y": number * PANEL_WIDTH // COLUMNS * PANEL_HEIGHT,
            "w": PANEL_WIDTH,
            "h": PANEL_HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": definition.get("unit", "short")}, "overrides": []},
        "options": {"calculate": False} if kind == "heatmap" else {},
        "targets": [
            _target(position, legend, query, kind)
            for position, (legend, query) in enumerate(definition["queries"].items())
        ],
    }


def _target(position: int, legend: str, query: str, kind: str) -> dict[str, Any]:
    """Return one query of a panel."""
    return {
        "refId": chr(ord("A") + position),
        "datasource": DATASOURCE,
        "expr": query,
        "legendFormat": legend,
        "format": {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series"),
        "instant": kind == "table",
        "range": kind != "table",
    }


def main() -> None:
    """Write every dashboard."""
    for path, text in dashboards():
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
