"""Accesses the modules of the service, for what no external interface shows.

All other files of this folder use HTTP, the command line, Redis and files. When modules move, only
this file and `fixed_year/sitecustomize.py` change.
"""

import dataclasses
import importlib
import time
import tomllib
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY

ROOT = Path(__file__).parents[2]


def entry_point() -> Any:
    """Import the command `carprice` from the module that `pyproject.toml` names."""
    module, _, attribute = entry_point_name().partition(":")
    return getattr(importlib.import_module(module), attribute)


def entry_point_name() -> str:
    """Return module and attribute of the command `carprice`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["scripts"]["carprice"])


def settings_fields() -> list[dict[str, Any]]:
    """Return variable, name, type, default, unit and limits of every setting."""
    from shared.settings import Settings  # noqa: PLC0415

    return [
        {
            "variable": field.metadata["env"],
            "name": field.name,
            "type": str(getattr(field.type, "__name__", field.type)),
            "default": None if field.default is None else str(field.default),
            "unit": field.metadata["unit"],
            "minimum": field.metadata["minimum"],
            "rule": field.metadata["rule"] and field.metadata["rule"].pattern.pattern,
            "is_secret": bool(field.metadata["rule"] and field.metadata["rule"].is_secret),
        }
        for field in dataclasses.fields(Settings)
    ]


def routes(home: Path) -> list[str]:
    """Return every route of the Flask application with its methods."""
    from api.app import create_app  # noqa: PLC0415
    from shared.redis.servers import with_server_urls  # noqa: PLC0415
    from shared.settings import Settings  # noqa: PLC0415

    rules = create_app(with_server_urls(Settings(home=home))).url_map.iter_rules()
    return sorted(f"{rule.rule} {' '.join(sorted(rule.methods or ()))}" for rule in rules)


def metrics() -> list[dict[str, Any]]:
    """Return name, type, labels, bucket bounds and sample names of every declared metric."""
    importlib.import_module("shared.metrics")
    collectors: dict[Any, Any] = REGISTRY._collector_to_names
    return sorted(
        (
            {
                "name": one._name,
                "type": one._type,
                "labels": list(one._labelnames),
                "bounds": list(getattr(one, "_kwargs", {}).get("buckets", ())),
                "samples": sorted(names),
            }
            for one, names in collectors.items()
            if hasattr(one, "_labelnames")
        ),
        key=lambda metric: str(metric["name"]),
    )


def make_models(folder: Path) -> None:
    """Train and save two small models; the newer one has a card and is active."""
    from model_store.cards.card import write_card  # noqa: PLC0415
    from model_store.registry.bundle import save_bundle  # noqa: PLC0415
    from model_store.registry.registry import ModelRegistry  # noqa: PLC0415
    from tests.unit.model_store import small_models  # noqa: PLC0415

    def card(made: Any) -> dict[str, bytes]:
        """Write the card with plots of one pixel."""
        return {
            name: PIXEL if name.endswith(".png") else content
            for name, content in write_card(made, found).items()
        }

    found = small_models.card_predictions(400)
    older = dataclasses.replace(small_models.train(trees=2), metrics=small_models.SCORES)
    newer = dataclasses.replace(small_models.train(trees=12), metrics=small_models.SCORES)
    registry = ModelRegistry(folder)
    registry.activate(save_bundle(older, folder).id, by="test")
    time.sleep(1.1)  # the name of a version has its time in seconds
    registry.activate(save_bundle(newer, folder, card).id, by="test")


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)
"""A PNG of one white pixel, because the bytes of real plots depend on the machine's fonts."""
