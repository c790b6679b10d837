"""Buckets of latencies name a trace."""

import json
import os
import re
import time
from unittest.mock import Mock

import pytest
from prometheus_client import CollectorRegistry, Histogram

from shared.metric_files import FOLDER_VARIABLE
from shared.tracing import exemplars as module
from shared.tracing.exemplars import Exemplars, Observed, accepts_openmetrics, openmetrics

BOUNDS = (0.1, 1.0)
LABELS = (("queue", "bulk"),)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def note(exemplars, value, trace_id):
    exemplars.note("wait_seconds", BOUNDS, LABELS, value, trace_id)


def test_a_bucket_names_the_last_trace_that_was_observed_in_it():
    registry = CollectorRegistry()
    histogram = Histogram("wait_seconds", "Wait.", ["queue"], buckets=BOUNDS, registry=registry)
    own = Exemplars()
    for value, trace_id in ((0.05, "a1"), (0.06, "a2"), (7.0, "b1")):
        histogram.labels(queue="bulk").observe(value)
        note(own, value, trace_id)
    text = openmetrics([registry], own.of_host()).decode()
    assert re.search(r'le="0.1",queue="bulk"} 2.0 # {trace_id="a2"} 0.06 \d', text)
    assert re.search(r'le="\+Inf",queue="bulk"} 3.0 # {trace_id="b1"} 7.0 \d', text)
    assert 'le="1.0",queue="bulk"} 2.0\n' in text
    assert text.endswith("# EOF\n")


@pytest.mark.usefixtures("folder")
def test_other_processes_read_the_newest(monkeypatch):
    own, other = Exemplars(), Exemplars()
    note(other, 0.05, "older")
    note(other, 5.0, "other")
    monkeypatch.setattr(os, "getpid", lambda: 1)
    other.write()
    note(own, 0.05, "newer")
    found = own.of_host()
    assert found["wait_seconds", LABELS, 0.1].trace_id == "newer"
    assert found["wait_seconds", LABELS, float("inf")].trace_id == "other"


def test_damaged_and_old_files_are_left_out(folder, monkeypatch):
    own = Exemplars()
    note(own, 0.05, "a")
    own.write()
    (folder / "exemplars-7.json").write_text("[")
    (written,) = (each for each in folder.iterdir() if each.name != "exemplars-7.json")
    assert Exemplars().of_host()["wait_seconds", LABELS, 0.1].trace_id == "a"
    monkeypatch.setattr(module, "KEPT_S", -1.0)
    assert Exemplars().of_host() == {}
    assert not written.exists()


def row(**changes):
    """What a process writes of an exemplar, with changes."""
    written = {
        "name": "wait_seconds", "labels": [["queue", "bulk"]], "bound": 0.1,
        "trace_id": "b" * 32, "value": 0.05, "at": time.time(),
    }  # fmt: skip
    return [*(written | changes).values()]


ODD_ROWS = [
    None,
    7,
    "text",
    {},
    [],
    row()[:5],
    [*row(), 1],
    row(name=None),
    row(name=["wait_seconds"]),
    row(labels=None),
    row(labels="queue"),
    row(labels=[["queue"]]),
    row(labels=[["queue", ["bulk"]]]),
    row(labels=[["queue", None]]),
    row(bound="much"),
    row(bound=[]),
    row(trace_id=7),
    row(trace_id="c" * 200),
    row(value=None),
    row(value={}),
    row(at="now"),
    row(at=None),
]


@pytest.mark.parametrize("odd", ODD_ROWS)
def test_an_odd_row_costs_neither_the_metrics_nor_the_other_rows(folder, odd, monkeypatch):
    log = Mock()  # the level of the log depends on what ran before
    monkeypatch.setattr(module, "log", log)
    registry = CollectorRegistry()
    histogram = Histogram("wait_seconds", "Wait.", ["queue"], buckets=BOUNDS, registry=registry)
    for value in (0.05, 0.5, 5.0):
        histogram.labels(queue="bulk").observe(value)
    rows = [row(trace_id="first"), odd, row(bound=None, value=5, trace_id="last")]
    (folder / "exemplars-7.json").write_text(json.dumps(rows))
    own = Exemplars()
    for _ in range(3):
        text = openmetrics([registry], own.of_host()).decode()
    named = re.findall(r'_bucket{le="(.*?)",.* # {trace_id="(.*?)"} (\S+) \d+\.\d+\n', text)
    assert named == [("0.1", "first", "0.05"), ("+Inf", "last", "5.0")]
    assert text.endswith("# EOF\n")
    assert [(name, given[0]) for name, given, _ in log.method_calls] == [
        ("debug", "exemplars_unreadable")
    ]


@pytest.mark.parametrize("content", ["[", "7", "{}", "null", '"text"', "\udcff", ""])
def test_a_file_that_is_no_list_is_left_out(folder, content):
    (folder / "exemplars-7.json").write_text(content, errors="surrogateescape")
    own = Exemplars()
    note(own, 0.05, "a")
    assert [each.trace_id for each in own.of_host().values()] == ["a"]


def test_the_number_of_exemplars_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_KEPT", 2)
    own = Exemplars()
    for value in (0.05, 0.5, 5.0, 0.06):
        note(own, value, str(value))
    assert [each.value for each in own.of_host().values()] == [0.06, 0.5]
    assert all(isinstance(each, Observed) for each in own.of_host().values())


def test_prometheus_asks_for_the_format():
    asked = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
    assert accepts_openmetrics(asked)
    assert not accepts_openmetrics("text/plain")
