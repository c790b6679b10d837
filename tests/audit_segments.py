"""Audit segments of tests."""

from pathlib import Path

from worker.batches.audit_segments import SegmentLines, publish_segment


def write_segment(folder: Path, segment: str, at: float, lines: bytes) -> None:
    """Publish lines that are in no file yet."""
    publish_segment(folder, segment, at, SegmentLines(None, lambda: lines, lines.count(b"\n")))
