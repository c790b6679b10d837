"""Days are read whole or as a sample in which every line has the same chance."""

import random

import pytest

from model_store.drift.audit_sample import BLOCK_BYTES, DaySample, _block_lines, files_by_day

DAY = "2026-11-03"


def write(folder, name, lines):
    path = folder / name
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def lines_of(count, seed, longest=900):
    draw = random.Random(seed)
    return [b"%d-%d:" % (seed, n) + b"x" * draw.randint(20, longest) for n in range(count)]


def test_a_day_below_the_limit_is_read_whole(tmp_path):
    paths = [write(tmp_path, f"predictions_{DAY}.w{n}.jsonl", lines_of(40, n)) for n in range(3)]
    sample = DaySample(DAY, paths, 1_000)
    assert list(map(bytes.rstrip, sample.lines())) == [x for n in range(3) for x in lines_of(40, n)]
    assert (sample.weight, sample.is_sample) == (1.0, False)


@pytest.mark.parametrize("longest", [30, 900, 3 * BLOCK_BYTES])
def test_each_line_is_in_exactly_one_block(tmp_path, longest):
    lines = lines_of(300, 5, longest)
    path = write(tmp_path, "a", lines)
    found = []
    with path.open("rb") as file:
        for start in range(0, path.stat().st_size, BLOCK_BYTES):
            found += _block_lines(file, start)
    assert found == lines


def test_a_busy_day_is_sampled_over_all_files_and_the_weight_restores_the_number(tmp_path):
    paths = [write(tmp_path, f"f{n}", lines_of(20_000, n)) for n in range(4)]
    sample = DaySample(DAY, paths, 8_000)
    found = list(sample.lines())
    assert sample.is_sample
    assert len(found) < 12_000
    assert len(set(found)) == len(found)
    assert len(found) * sample.weight == pytest.approx(80_000, rel=0.05)
    by_file = [sum(line.startswith(b"%d-" % n) for line in found) for n in range(4)]
    assert min(by_file) > 0.8 * len(found) / 4
    assert list(DaySample(DAY, paths, 8_000).lines()) == found, "the same log, the same sample"


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    path = write(tmp_path, "a", lines_of(3, 1))
    path.write_bytes(path.read_bytes() + b'{"id": "cut')
    assert len(list(DaySample(DAY, [path], 0).lines())) == 3


def test_a_file_that_is_deleted_meanwhile_is_left_out(tmp_path):
    paths = [write(tmp_path, f"f{n}", lines_of(5, n)) for n in range(2)]
    lines = DaySample(DAY, [*paths, tmp_path / "gone"], 0).lines()
    next(lines)
    paths[1].unlink()
    assert len(list(lines)) == 4


def test_files_are_found_by_day_and_sale_reports_are_not_among_them(tmp_path):
    for name in ("predictions_2026-11-03.api-1.jsonl", "predictions_2026-11-03.batch-x-1.jsonl",
                 "predictions_2026-11-04.api-1.jsonl", "outcomes_2026-11-03.api-1.jsonl",
                 ".predictions_2026-11-03.a.jsonl.tmp"):  # fmt: skip
        write(tmp_path, name, [b"{}"])
    found = files_by_day(tmp_path)
    assert {day: len(paths) for day, paths in found.items()} == {"2026-11-03": 2, "2026-11-04": 1}
    assert files_by_day(tmp_path / "missing") == {}
