"""No input makes a parser fail in another way than by its documented errors.

`make fuzz` runs these tests with many more examples, and keeps each input that is a fault in
`tests/fuzz/corpus`; kept inputs are tried by every run of the tests.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings

import tests.fuzz.cell_targets
import tests.fuzz.file_targets
import tests.fuzz.record_targets
import tests.fuzz.request_targets  # noqa: F401 - each registers its targets
from tests.fuzz.target import TARGETS

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Examples of each target in a long run; 0: the short run of `make test`."""

SHORT_EXAMPLES = 40


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_that_once_were_faults_are_none(name):
    for data in TARGETS[name].corpus():
        TARGETS[name].run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_is_read_ends_by_a_documented_error(name):
    target, failed = TARGETS[name], []

    @settings(
        max_examples=EXAMPLES or SHORT_EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not EXAMPLES,
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
    finally:
        if failed and EXAMPLES:
            target.keep(failed[0])
