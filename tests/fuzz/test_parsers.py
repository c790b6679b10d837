"""No input makes a parser fail in another way than by its documented errors.

`make fuzz` runs these tests with many more examples, and keeps each input that is a fault in
`tests/fuzz/corpus`; kept inputs are tried by every run of the tests.
"""

import os
import time

import pytest
from hypothesis import HealthCheck, given, settings

import tests.fuzz.cell_targets
import tests.fuzz.file_targets
import tests.fuzz.record_targets
import tests.fuzz.request_targets  # noqa: F401 - each registers its targets
from tests.fuzz.target import TARGETS

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
"""Time for new examples of all targets together; 0: the short, repeatable run of `make test`."""

SHORT_EXAMPLES, ROUND_EXAMPLES = 40, 300


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_that_once_were_faults_are_none(name):
    for data in TARGETS[name].corpus():
        TARGETS[name].run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_is_read_ends_by_a_documented_error(name):
    target, failed = TARGETS[name], []
    until = time.monotonic() + SECONDS / len(TARGETS)

    @settings(
        max_examples=ROUND_EXAMPLES if SECONDS else SHORT_EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not SECONDS,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=target.inputs)
    def search(data):
        try:
            target.run(data)
        except BaseException:
            failed[:] = [data]  # the last one is the smallest
            raise

    try:
        search()
        while time.monotonic() < until:
            search()
    finally:
        if failed and SECONDS:
            target.keep(failed[0])
