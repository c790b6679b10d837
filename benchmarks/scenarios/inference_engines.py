"""Times the inference engines on the same cars and prints each round as `ROUND {json}`.

`python -m benchmarks.scenarios.inference_engines ROUNDS SECONDS SIZE…`
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import joblib
import pandas as pd

from benchmarks.peers.fast_model import MODELS_PATH, active_model, active_version
from data.listings.table import car_columns
from data.market.generator import generate
from data.market.reference import ReferenceMarket
from model_store.pricing.inference import LoadedModel
from model_store.registry.bundle import load_estimator
from shared.domain.car import FIELD_NAMES, CarFeatures

SEED = 11
ROUND_SHARE = 0.1
"""Share of the seconds of a round for each engine and size."""
MIN_CALLS = 3

Engines = Mapping[str, Callable[[], object]]


def engines(rows: int) -> Engines:
    """Return the function to time for a number of rows, by the engine's name."""
    model = active_model()
    cars = _cars(rows)
    columns = {name: [getattr(car, name) for car in cars] for name in FIELD_NAMES}
    matrix = model.encoder.encode_columns(columns, rows).matrix
    forest = load_estimator(MODELS_PATH, active_version())
    forest.set_params(n_jobs=1)
    pipeline = joblib.load(os.environ["BENCH_PIPELINE"])
    bodies = [dict(zip(FIELD_NAMES, car.to_wire(), strict=True)) for car in cars]
    return {
        # Price and spread: the large forest, and the small one that the interval needs.
        "packed": lambda: (model.forest.predict(matrix), model.difficulty.predict(matrix)),
        "estimate": lambda: model.estimate(cars),
        "sklearn": lambda: forest.predict(matrix),
        "pipeline": lambda: pipeline.predict(pd.DataFrame(bodies)),
        **(_extras(model, cars[0]) if rows == 1 else {}),
    }


def _extras(model: LoadedModel, car: CarFeatures) -> Engines:
    """Return the functions that compute the extras of one car."""
    (price_mad,) = model.prices_mad([car])
    return {
        "contributions": lambda: model.explain(car),
        "depreciation": lambda: model.depreciation(car),
        "comparables": lambda: model.comparables(car, price_mad),
    }


def _cars(rows: int) -> list[CarFeatures]:
    columns = car_columns(generate(ReferenceMarket.load(), rows, seed=SEED))
    names = [name for name in FIELD_NAMES if name in columns]
    values = zip(*(columns[name] for name in names), strict=True)
    return [_car(dict(zip(names, row, strict=True))) for row in values]


def _car(given: dict[str, object]) -> CarFeatures:
    known = {name: value for name, value in given.items() if value is not None}
    wire = [known.get(name) for name in FIELD_NAMES]
    return CarFeatures.from_wire(wire)


def measure(rows: int, call: Callable[[], object], seconds: float) -> dict[str, float]:
    """Repeat a call for some seconds and return its figures."""
    durations_ms: list[float] = []
    cpu_started_s, started_at = time.process_time(), time.perf_counter()
    while len(durations_ms) < MIN_CALLS or time.perf_counter() - started_at < seconds:
        before = time.perf_counter()
        call()
        durations_ms.append(1000 * (time.perf_counter() - before))
    return {
        "duration_s": sum(durations_ms) / 1000,
        "operations": rows * len(durations_ms),
        "subject_cpu_s": time.process_time() - cpu_started_s,
        "p50_ms": statistics.median(durations_ms),
        "p99_ms": statistics.quantiles(durations_ms, n=100, method="inclusive")[98],
        "max_ms": max(durations_ms),
    }


def main(rounds: int, seconds: float, sizes: Sequence[int]) -> None:
    """Time the engines on each size, alternating."""
    for rows in sizes:
        found = engines(rows)
        for call in found.values():
            call()
        for number in range(1, rounds + 1):
            for name, call in found.items():
                figures = measure(rows, call, seconds * ROUND_SHARE)
                one = {"scenario": f"inference-{rows}", "subject": name, "number": number}
                print(f"ROUND {json.dumps(one | figures)}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), [int(size) for size in sys.argv[3:]])
