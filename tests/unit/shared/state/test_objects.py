"""Conditional objects in a real server that speaks S3 over HTTP."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.settings import Settings
from shared.state.copies import DocumentCopy
from shared.state.objects import ObjectMissing, StateConflict, StateObjects
from tests.object_store import BUCKET, ObjectStore


@pytest.fixture
def objects(store: ObjectStore, request: pytest.FixtureRequest) -> StateObjects:
    """A prefix of its own for each test."""
    return open_objects(store, request.node.name)


def open_objects(store: ObjectStore, prefix: str) -> StateObjects:
    """Another client of the same objects."""
    return StateObjects(f"s3://{BUCKET}/{prefix}", store.endpoint_url)


def test_settings_without_url_name_no_store():
    assert StateObjects.of(Settings()) is None


def test_replace_needs_the_content_that_was_read(objects):
    first = objects.replace("doc", b"1", None)
    with pytest.raises(StateConflict):
        objects.replace("doc", b"2", None)
    second = objects.replace("doc", b"2", first)
    with pytest.raises(StateConflict):
        objects.replace("doc", b"3", first)
    assert objects.read("doc").content == b"2"
    assert objects.read("doc").etag == second


def test_replace_by_the_same_content_is_no_conflict(objects):
    etag = objects.replace("doc", b"1", None)
    assert objects.replace("doc", b"1", None) == etag


def test_replace_after_a_deletion_is_a_conflict(objects):
    etag = objects.replace("doc", b"1", None)
    objects.delete(["doc", "never-was"])
    with pytest.raises(StateConflict):
        objects.replace("doc", b"2", etag)


def test_read_unless_tells_unchanged_from_missing(objects):
    with pytest.raises(ObjectMissing):
        objects.read_unless("doc", '"0"')
    etag = objects.replace("doc", b"1", None)
    assert objects.read_unless("doc", etag) is None
    objects.replace("doc", b"2", etag)
    assert objects.read_unless("doc", etag).content == b"2"


def test_files_come_back_as_they_were(objects, tmp_path):
    path, copy = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"x" * 3_000_000)
    objects.upload("folder/file", path)
    objects.download("folder/file", copy)
    assert copy.read_bytes() == path.read_bytes()
    assert objects.exists("folder/file")
    assert not objects.exists("folder")
    with pytest.raises(ObjectMissing):
        objects.download("folder/other", copy)


def test_missing_bucket_is_an_error_of_the_store(store):
    objects = StateObjects("s3://no-such-bucket/x", store.endpoint_url)
    with pytest.raises(OSError, match="state store"):
        objects.read("doc")


@pytest.mark.usefixtures("store")
def test_unreachable_store_is_an_os_error():
    objects = StateObjects(f"s3://{BUCKET}/x", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="state store"):
        objects.replace("doc", b"", None)


def test_store_that_ignores_conditions_is_refused(objects, monkeypatch):
    monkeypatch.setattr(objects, "_put_if", lambda *_: '"etag"')
    with pytest.raises(OSError, match="If-None-Match"):
        objects.replace("doc", b"", None)


def open_copy(objects: StateObjects, folder: Path) -> DocumentCopy:
    """The copy of one document in a folder that stands for a host."""
    lock = threading.Lock()

    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        with lock:
            yield

    return DocumentCopy(objects, "doc", folder / "doc", write=Path.write_bytes, lock=locked)


@pytest.fixture
def hosts(store, request, tmp_path):
    """Copies of two hosts and their folders."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    copies = [open_copy(open_objects(store, request.node.name), folder) for folder in folders]
    return list(zip(copies, folders, strict=True))


def test_copies_follow_changes_of_other_hosts(hosts):
    (a, _), (b, folder) = hosts
    a.change(lambda content: (content or b"") + b"1")
    b.pull()
    b.change(lambda content: (content or b"") + b"2")
    a.change(lambda content: (content or b"") + b"3")
    b.pull()
    assert (folder / "doc").read_bytes() == b"123"


def test_changes_at_the_same_time_are_all_kept(hosts):
    def add(copy: DocumentCopy, letter: bytes) -> None:
        for _ in range(5):
            copy.change(lambda content: (content or b"") + letter)

    threads = [
        threading.Thread(target=add, args=(copy, letter))
        for (copy, _), letter in zip(hosts, (b"a", b"b"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (copy, folder), _ = hosts
    copy.pull()
    assert sorted((folder / "doc").read_bytes()) == sorted(b"aaaaabbbbb")


@pytest.mark.parametrize("damage", [b"dam\xffaged", None])
def test_damaged_or_removed_copy_is_repaired(hosts, damage):
    (copy, folder), _ = hosts
    copy.change(lambda _: b"right")
    if damage is None:
        (folder / "doc").unlink()
    else:
        (folder / "doc").write_bytes(damage)
    copy.pull()
    assert (folder / "doc").read_bytes() == b"right"


def test_own_file_stays_until_there_is_a_document_and_is_then_put_aside(hosts):
    (a, _), (b, folder) = hosts
    (folder / "doc").write_bytes(b"own")
    b.pull()
    assert (folder / "doc").read_bytes() == b"own"
    assert not b.is_shared
    a.change(lambda _: b"shared")
    b.pull()
    assert (folder / "doc").read_bytes() == b"shared"
    assert (folder / "doc.replaced").read_bytes() == b"own"
    assert b.is_shared


def test_copy_of_a_lost_document_is_put_aside(hosts, store, request):
    (copy, folder), _ = hosts
    copy.change(lambda _: b"1")
    open_objects(store, request.node.name).delete(["doc"])
    copy.pull()
    assert not (folder / "doc").exists()
    assert (folder / "doc.replaced").read_bytes() == b"1"


def test_copy_stays_while_the_store_is_unreachable(hosts):
    (copy, folder), _ = hosts
    copy.change(lambda _: b"1")
    away = open_copy(StateObjects(f"s3://{BUCKET}/x", "http://127.0.0.1:9"), folder)
    with pytest.raises(OSError, match="state store"):
        away.pull()
    assert (folder / "doc").read_bytes() == b"1"
