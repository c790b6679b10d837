"""The default model is trained on the first start, and not in place of a lost own one."""

from pathlib import Path

import pytest

from launcher.first_model import needs_default_model
from launcher.preflight import CannotStartError
from model_store.registry.registry import ModelRegistry
from shared.settings import Settings
from tests.object_store import BUCKET, running_object_store
from tests.unit.model_store.small_retraining import make_registry


@pytest.mark.parametrize("name", ["stock.csv", "reference market"])
@pytest.mark.parametrize("content", [None, "nonsense"])
def test_a_lost_pointer_replaces_the_default_model_alone(
    tmp_path: Path, name: str, content: str | None
) -> None:
    path = tmp_path / "versions"
    settings = Settings(home=tmp_path, models_path=path)
    assert needs_default_model(settings)
    active = str(make_registry(path, name=name).active_version())
    assert not needs_default_model(settings)
    (path / "ACTIVE").unlink()
    if content is not None:
        (path / "ACTIVE").write_text(content)
    if name == "reference market":
        assert needs_default_model(settings)
        return
    with pytest.raises(CannotStartError, match=f"{active} was activated last"):
        needs_default_model(settings)


def host(folder: Path, endpoint_url: str) -> Settings:
    """The settings of a host that shares its state."""
    return Settings(
        home=folder,
        models_path=folder / "versions",
        state_url=f"s3://{BUCKET}/state",
        blob_endpoint_url=endpoint_url,
    )


def test_a_new_host_fetches_the_model_of_the_first_and_trains_none(tmp_path: Path) -> None:
    with running_object_store() as store:
        first, second = (host(tmp_path / name, store.endpoint_url) for name in ("a", "b"))
        assert needs_default_model(first)
        active = make_registry(first.versions_path, name="stock.csv").active_version()
        assert not needs_default_model(first)
        assert not needs_default_model(second)
        assert ModelRegistry(second.versions_path).active_version() == active


def test_a_host_without_the_store_starts_with_the_model_that_it_has(tmp_path: Path) -> None:
    away = host(tmp_path / "a", "http://127.0.0.1:9")
    with pytest.raises(CannotStartError, match="the shared model cannot be fetched"):
        needs_default_model(away)
    make_registry(away.versions_path, name="stock.csv")
    assert not needs_default_model(away)
