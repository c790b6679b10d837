"""The shadow is tried behind the answers: compared when it works, a metric when it does not."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import REGISTRY

from data.hedonic.ordinal_encoder import NUMBERS
from data.vehicles.columns import CategoricalColumn, CategoryTable, Column
from model_store.registry.bundle import load_model, save_bundle
from model_store.registry.manifest import ModelVersion
from model_store.registry.pointer_files import SHADOW_FILE
from model_store.registry.registry import ModelRegistry, ShadowPointer
from shared.domain.car import FIELD_NAMES
from shared.domain.valuation import Estimate
from tests.conftest import wait_until
from tests.unit.model_store import small_models
from worker.shadow import (
    MAX_QUEUED_SAMPLES,
    RETRY_AFTER_S,
    ChunkShadowSampler,
    ShadowEvaluator,
    ShadowRuntime,
    interval_overlap,
    shadow_samples,
)

CARS = small_models.random_cars(20, seed=8)


@dataclasses.dataclass
class Trial:
    """Two versions, the first one active and the second one the shadow."""

    path: Path
    active: ModelVersion
    other: ModelVersion
    runtime: ShadowRuntime
    now: list

    def answered(self):
        model = load_model(self.path, self.active.id)
        return list(zip(CARS, model.estimate(CARS), strict=True))


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """A registry with two versions: the second one says a tenth more of everything."""
    path = tmp_path_factory.mktemp("shadows") / "versions"
    active = save_bundle(small_models.train(), path)
    other = save_bundle(small_models.train(level=0.0953), path)
    ModelRegistry(path).activate(active.id, by="test")
    return path, active, other


@pytest.fixture
def trial(versions):
    path, active, other = versions
    now = [0.0]
    ShadowPointer(path).point_to(other.id, 1.0)
    yield Trial(path, active, other, ShadowRuntime(path, lambda: now[0]), now)
    ShadowPointer(path).clear()


def sample(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


def counted(trial, outcome):
    return sample("shadow_valuations_total", version=trial.other.id, outcome=outcome)


def test_what_was_answered_is_compared_with_the_shadow(trial):
    before = counted(trial, "success")
    ratios = sample("shadow_price_ratio_sum", version=trial.other.id)
    ShadowEvaluator(trial.runtime, pause_s=0.0).submit_sample(trial.answered())
    wait_until(lambda: counted(trial, "success") == before + len(CARS), what="the trials")
    found = sample("shadow_price_ratio_sum", version=trial.other.id) - ratios
    assert found / len(CARS) == pytest.approx(1.1, abs=0.05)
    assert sample("shadow_interval_overlap_count", version=trial.other.id) >= len(CARS)
    assert sample("shadow_seconds_count", version=trial.other.id) >= 1


def test_only_the_share_is_tried(trial):
    ShadowPointer(trial.path).point_to(trial.other.id, 0.5)
    trial.now[0] = 2.0
    draws = iter([0.4, 0.6] * 10)
    before = counted(trial, "success")
    ShadowEvaluator(trial.runtime, draw=lambda: next(draws), pause_s=0.0).submit_sample(
        trial.answered()
    )
    wait_until(lambda: counted(trial, "success") >= before + 10, what="the trials")
    time.sleep(0.1)
    assert counted(trial, "success") == before + 10


def test_without_a_shadow_nothing_is_even_looked_at(trial):
    ShadowPointer(trial.path).clear()
    trial.now[0] = 2.0

    class Never(list):
        def __getitem__(self, _):
            raise AssertionError

    shadow_evaluator = ShadowEvaluator(trial.runtime, draw=lambda: 0.0)
    shadow_evaluator.submit_sample(Never(trial.answered()))
    assert shadow_evaluator.drawn(1_000_000) == []


def test_a_pointer_that_cannot_be_read_fails_no_answer(trial):
    pointer = trial.path / SHADOW_FILE
    pointer.unlink()
    pointer.mkdir()
    try:
        trial.now[0] = 2.0
        assert trial.runtime.share() == 0.0
        assert ShadowRuntime(trial.path, lambda: 0.0).share() == 0.0
    finally:
        pointer.rmdir()


def test_a_shadow_that_cannot_be_loaded_is_a_metric_and_tried_again_later(trial):
    encoder = trial.path / trial.other.id / "encoder.json"
    whole = encoder.read_bytes()
    encoder.write_bytes(whole + b" ")
    try:
        before = counted(trial, "failure")
        shadow_evaluator = ShadowEvaluator(trial.runtime, pause_s=0.0)
        shadow_evaluator.submit_sample(trial.answered())
        wait_until(lambda: counted(trial, "failure") == before + len(CARS), what="the failures")
    finally:
        encoder.write_bytes(whole)
    assert trial.runtime.model() is None, "not tried again at once"
    trial.now[0] += RETRY_AFTER_S
    assert trial.runtime.model().version.id == trial.other.id


def test_the_thread_outlives_a_model_that_breaks(trial):
    class Broken:
        version = trial.other

        def estimate(self, _):
            raise ZeroDivisionError

    models = iter([Broken(), load_model(trial.path, trial.other.id)])

    class ShadowModelSource:
        def share(self):
            return 1.0

        def version(self):
            return trial.other.id

        def baseline(self):
            return trial.active.id

        def model(self):
            return next(models)

    failures, successes = counted(trial, "failure"), counted(trial, "success")
    shadow_evaluator = ShadowEvaluator(ShadowModelSource(), pause_s=0.0)
    shadow_evaluator.submit_sample(trial.answered())
    wait_until(lambda: counted(trial, "failure") == failures + len(CARS), what="the failures")
    shadow_evaluator.submit_sample(trial.answered())
    wait_until(lambda: counted(trial, "success") == successes + len(CARS), what="the trials")


def test_too_many_trials_are_left_out_not_kept(trial):
    before = counted(trial, "dropped")
    shadow_evaluator = ShadowEvaluator(trial.runtime, pause_s=60.0)
    shadow_evaluator.submit_sample([trial.answered()[0]] * (MAX_QUEUED_SAMPLES + 7))
    assert counted(trial, "dropped") == before + 7


def test_where_room_is_scarce_the_trials_come_from_all_over(trial):
    drawn = ShadowEvaluator(trial.runtime, draw=lambda: 0.0).drawn(20 * MAX_QUEUED_SAMPLES)
    assert len(set(drawn)) == MAX_QUEUED_SAMPLES
    assert drawn == sorted(drawn)
    assert min(drawn) < 100
    assert max(drawn) > 19 * MAX_QUEUED_SAMPLES


def columns_of_cars():
    """The cars, without their doors, as a chunk of a batch gives them."""
    columns: dict[str, Column] = {}
    for name in FIELD_NAMES:
        values = [getattr(car, name) for car in CARS]
        if name in NUMBERS:
            columns[name] = np.array(values, dtype=np.float64)
        else:
            distinct = [*dict.fromkeys(values)]
            codes = np.array([distinct.index(value) for value in values])
            columns[name] = CategoricalColumn(CategoryTable(distinct), codes)
    del columns["doors"]
    return columns


def test_rows_of_a_batch_are_tried_as_the_cars_that_they_are(trial):
    model = load_model(trial.path, trial.active.id)
    columns = columns_of_cars()
    table = model.estimate_columns(columns, len(CARS))
    trials = shadow_samples(columns, table.quantiles_mad, [3, 0, 7], trial.active.id)
    assert [car for car, _ in trials] == [
        dataclasses.replace(CARS[row], doors=None) for row in (3, 0, 7)
    ]
    assert [answer.price_mad for _, answer in trials] == table.price_mad[[3, 0, 7]].tolist()
    assert {answer.model_version for _, answer in trials} == {trial.active.id}
    assert isinstance(trials[0][0].km_driven, int)


@pytest.fixture
def chunk(trial):
    """Columns and prices of a chunk."""
    columns = columns_of_cars()
    model = load_model(trial.path, trial.active.id)
    return columns, model.estimate_columns(columns, len(CARS)).quantiles_mad


def test_rows_are_tried_once_their_chunk_is_there_to_stay(trial, chunk):
    """A chunk that fails after its rows were drawn is valued, and drawn from, again."""
    before = counted(trial, "success")
    shadow_evaluator = ShadowEvaluator(trial.runtime, pause_s=0.0)
    rows = ChunkShadowSampler(shadow_evaluator)
    columns, quantiles = chunk
    for _ in range(3):
        rows.draw(columns, quantiles, trial.active.id)
    time.sleep(0.1)
    assert counted(trial, "success") == before
    rows.submit_sample()
    rows.submit_sample()
    shadow_evaluator.submit_sample(trial.answered()[:1])
    wait_until(lambda: counted(trial, "success") == before + len(CARS) + 1, what="the trials")


def test_rows_that_a_former_version_valued_are_not_compared(trial, chunk):
    """The batch keeps the version it was accepted with; the shadow is for the active one."""
    rows = ChunkShadowSampler(shadow_evaluator := ShadowEvaluator(trial.runtime, pause_s=0.0))
    before = counted(trial, "success")
    columns, quantiles = chunk
    rows.draw(columns, quantiles, "20200101T000000-000000")
    rows.submit_sample()
    shadow_evaluator.submit_sample(trial.answered()[:1])
    wait_until(lambda: counted(trial, "success") == before + 1, what="the one trial")


def test_rows_that_cannot_be_drawn_fail_no_chunk(trial, chunk):
    columns, quantiles = chunk
    rows = ChunkShadowSampler(ShadowEvaluator(trial.runtime, pause_s=0.0))
    before = counted(trial, "success")
    rows.draw({**columns, "year": np.array([])}, quantiles, trial.active.id)
    rows.submit_sample()
    time.sleep(0.1)
    assert counted(trial, "success") == before


def test_many_rows_do_not_take_the_processor_from_those_who_wait(trial):
    """After each group the others have their turn: a test clock says when the next is due."""
    slept = []
    shadow_evaluator = ShadowEvaluator(trial.runtime, pause_s=0.25, sleep=slept.append)
    before = counted(trial, "success")
    shadow_evaluator.enqueue(trial.answered() * 8)  # 160 cars are three groups
    wait_until(lambda: counted(trial, "success") == before + 8 * len(CARS), what="the trials")
    wait_until(lambda: len(slept) >= 4, what="the last pause")
    assert slept == [0.25] * 4


def test_a_shadow_that_became_active_is_not_compared_with_itself(trial):
    before = sample("shadow_price_ratio_count", version=trial.other.id)
    seconds = sample("shadow_seconds_count", version=trial.other.id)
    model = load_model(trial.path, trial.other.id)
    answered = list(zip(CARS, model.estimate(CARS), strict=True))
    ShadowEvaluator(trial.runtime, pause_s=0.0).submit_sample(answered)
    wait_until(
        lambda: sample("shadow_seconds_count", version=trial.other.id) > seconds, what="the trial"
    )
    time.sleep(0.05)
    assert sample("shadow_price_ratio_count", version=trial.other.id) == before


def test_overlap_is_shared_over_covered():
    def estimate(low, high):
        return Estimate(
            price_mad=(low + high) / 2,
            quantiles_mad=(low, low, *[(low + high) / 2] * 5, high, high),
            model_version="v",
            model_known=True,
        )

    assert interval_overlap(estimate(100, 200), estimate(100, 200)) == 1.0
    assert interval_overlap(estimate(100, 200), estimate(150, 250)) == pytest.approx(1 / 3)
    assert interval_overlap(estimate(100, 200), estimate(300, 400)) == 0.0
