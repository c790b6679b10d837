"""The threads of the processes of two hosts."""

import contextlib
import dataclasses

import pytest

from shared.audit.hosts.exchange import AuditSharing, share_audit
from shared.audit.hosts.identity import IDENTITY_FILE, host_id
from shared.settings import Settings
from tests.conftest import wait_until


def test_without_a_store_nothing_is_shared(tmp_path):
    assert share_audit(Settings(home=tmp_path)) is None
    assert list(tmp_path.iterdir()) == []


def test_an_id_is_kept_and_a_damaged_one_refused(tmp_path):
    made = host_id(tmp_path)
    assert host_id(tmp_path) == made
    (tmp_path / IDENTITY_FILE).write_text("worker-1")
    with pytest.raises(OSError, match="no id of a host"):
        host_id(tmp_path)


def test_threads_copy_and_answer_and_another_process_takes_over(hosts, car, servers):
    first, second = hosts
    with contextlib.ExitStack() as stack:
        processes = []
        for host in (first, first, second):
            settings = dataclasses.replace(host.settings, redis_url=servers.settings.redis_url)
            sharing = AuditSharing(settings, host.objects)
            stack.callback(sharing.stop)
            sharing.start()
            processes.append(sharing)
        made = [first.answer(car), second.answer(car)]
        for host in hosts:
            wait_until(lambda host=host: host.figures()["total_predictions"] == 2, 30)
        assert second.search.find(made[0])["id"] == made[0]
        assert second.records.recorded({made[0]}) == {made[0]}
        processes[0].stop()
        late = first.answer(car)
        wait_until(lambda: second.figures()["total_predictions"] == 3, 30)
        assert second.records.recorded({late}) == {late}
        # A sale that is reported at once waits for the copy.
        fresh = first.answer(car)
        assert second.search.find(fresh)["id"] == fresh
