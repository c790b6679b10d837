"""The counts of files per request, on small inputs."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from scripts.call_tracer.sitecustomize import Tracer
from scripts.count_structure import (
    Lengths,
    always_executed,
    files_section,
    function_lengths,
    large_folders,
    modules,
    relevant,
    request_section,
    static_section,
    trace_of,
    with_section,
)
from scripts.traced_service import Call, parse_call

SOURCE = """
import dataclasses

@dataclasses.dataclass
class Car:
    year: int

def pair():
    yield 1
    yield 2

def run():
    return list(pair()), Car(2020)
"""


def call(file: str, function: str = "run", caller: str = "", **others: str) -> Call:
    return Call(
        0,
        others.get("process", "api"),
        others.get("resumed") == "yes",
        file,
        function,
        caller,
        (*others.get("above", "").split(), function),
    )


def test_calls_between_files_and_returns() -> None:
    trace = trace_of(
        [
            call("a.py"),
            call("a.py", "other", "a.py"),
            call("b.py", "run", "a.py"),
            call("a.py", "third", "b.py"),
            call("b.py", "run", "a.py"),
            call("b.py", "run", "a.py", resumed="yes"),
        ]
    )
    assert trace.files == {"a.py": ["run", "other", "third"], "b.py": ["run"]}
    assert (trace.calls, trace.returns) == (4, 2)


def test_background_work_drops_out() -> None:
    request, twice, beat = call("a.py"), call("a.py"), call("a.py", "beat")
    assert always_executed([[beat, request], [request, twice]]) == [request]
    assert always_executed([[request, twice], [request, twice]]) == [request, twice]


def test_only_the_processes_of_a_request_count() -> None:
    api, worker = call("a.py"), call("b.py", process="interactive")
    assert relevant("hit", [api, worker]) == [api]
    assert relevant("miss", [api, worker]) == [api, worker]


TASK = "register.<locals>.value_chunk"


def test_a_chunk_is_what_its_task_calls() -> None:
    inside = call("a.py", process="bulk", above=TASK)
    outside = call("a.py", process="bulk", above="register.<locals>.split")
    assert relevant("batch", [inside, outside]) == [inside]


def test_the_engine_is_what_its_method_calls_outside_of_the_model() -> None:
    above = f"{TASK} FastCsvEngine.value"
    entry = call("engine.py", "FastCsvEngine.value", process="bulk", above=TASK)
    inside = call("a.py", process="bulk", above=above)
    model = call("model_store/a.py", process="bulk", above=above)
    outside = call("b.py", process="bulk", above=TASK)
    assert relevant("engine", [entry, inside, model, outside]) == [entry, inside]


def test_lines_of_the_tracer_are_read() -> None:
    line = "7\tapi\t1\tapi/a.py\tA.run\tapi/b.py\tstart;A.run"
    expected = call("api/a.py", "A.run", "api/b.py", resumed="yes", above="start")
    assert parse_call(line) == expected._replace(at_ns=7)


def test_lengths_are_those_of_the_nearest_rank() -> None:
    lengths = Lengths.of({str(lines): lines for lines in range(1, 11)})
    assert (lengths.median, lengths.percentile_90, lengths.longest, lengths.total) == (5, 9, 10, 55)
    assert Lengths.of({"only": 3}).percentile_90 == 3


def test_functions_are_measured_without_decorators_and_with_nested_ones() -> None:
    source = "@cached\ndef outer():\n    async def inner():\n        pass\n    return inner\n"
    assert function_lengths(source) == {"outer:2": 4, "inner:3": 2}


def test_modules_and_folders_are_found_by_name(tmp_path: Path) -> None:
    for folder, count in (("api/views", 11), ("api", 3), ("tests", 20)):
        (tmp_path / folder).mkdir(exist_ok=True, parents=True)
        (tmp_path / folder / "__init__.py").touch()
        for number in range(count):
            (tmp_path / folder / f"m{number}.py").write_text("def f():\n    pass\n")
    found = modules(tmp_path)
    assert len(found) == 14
    assert large_folders(found, tmp_path) == [("api/views", 11)]
    assert "| file | 2 | 2 | 2 |" in static_section(tmp_path)
    assert "28 lines in 14 modules" in static_section(tmp_path)


def test_tables_name_the_request() -> None:
    traces = {"hit": trace_of([call("a.py")])}
    assert "| cache hit of `/predict` | 1 | 1 | 0 |" in request_section(traces)
    assert "1. `a.py`: `run`" in files_section(traces)


def test_only_the_marked_section_is_replaced() -> None:
    page = "a\n<!-- structure: begin -->\nold\n<!-- structure: end -->\nb\n"
    written = with_section(page, "new\n")
    assert written == "a\n<!-- structure: begin -->\n\nnew\n\n<!-- structure: end -->\nb\n"
    assert with_section(written, "new\n") == written
    with pytest.raises(ValueError, match="lacks"):
        with_section("a page without marks", "new\n")


@pytest.fixture
def product(tmp_path: Path) -> Iterator[ModuleType]:
    """A module of a product folder."""
    file = tmp_path / "api" / "thing.py"
    file.parent.mkdir()
    file.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("thing_of_a_test", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_tracer_writes_calls_of_product_functions(product: ModuleType, tmp_path: Path) -> None:
    switch, lines = tmp_path / "switch", tmp_path / "lines"
    lines.mkdir()

    def traced() -> list[Call]:
        tracer = Tracer(switch, lines, str(tmp_path), ("api",))
        former = sys.getprofile()
        sys.setprofile(tracer.profile)
        try:
            product.run()
        finally:
            sys.setprofile(former)
        return [parse_call(line) for file in lines.iterdir() for line in file.open()]

    switch.write_bytes(b"\0")
    assert traced() == []
    switch.write_bytes(b"\1")
    calls = traced()
    assert {each.file for each in calls} == {"api/thing.py"}
    assert [(each.function, each.is_resumed) for each in calls] == [
        ("run", False),
        ("pair", False),
        ("pair", True),
        ("pair", True),
        (calls[-1].function, False),
    ]
    assert calls[-1].function.endswith("__init__")
    assert [each.caller for each in calls] == ["", *["api/thing.py"] * 4]
