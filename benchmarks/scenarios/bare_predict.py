"""Times only scikit-learn's `forest.predict`, on one core, over a prepared matrix.

`python -m benchmarks.scenarios.bare_predict MATRIX` prints the time as JSON.
"""

import json
import sys
import time

import numpy as np

from benchmarks.peers.fast_model import MODELS_PATH, active_version
from model_store.registry.bundle import load_estimator

BLOCK_ROWS = 1_000_000
"""Rows per call; more would need memory and save no time."""


def main() -> None:
    """Time one pass over the matrix."""
    matrix = np.load(sys.argv[1], mmap_mode="r")
    forest = load_estimator(MODELS_PATH, active_version())
    forest.set_params(n_jobs=1)
    forest.predict(matrix[:1000])
    started_at, cpu_started_s = time.perf_counter(), time.process_time()
    for start in range(0, len(matrix), BLOCK_ROWS):
        forest.predict(matrix[start : start + BLOCK_ROWS])
    figures = {
        "duration_s": time.perf_counter() - started_at,
        "cpu_s": time.process_time() - cpu_started_s,
        "requests": len(matrix),
    }
    print(f"RESULT {json.dumps(figures)}")


if __name__ == "__main__":
    main()
