"""The locked dependencies are compared with a dated file of known vulnerabilities."""

import datetime as dt
import json
import re
import zipfile

import pytest

from scripts.check_vulnerabilities import ADVISORIES, affected, locked_versions, main
from tests.conftest import ROOT


def advisory(*events, name="Flask", **more):
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}]
    return {
        "id": "X-1",
        "affected": [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges}],
        **more,
    }


def test_no_locked_version_is_known_to_be_vulnerable():
    assert main([]) == 0


def test_every_pinned_package_is_compared():
    names = {name for name, _ in locked_versions()}
    assert {"flask", "python-calamine", "hypothesis", "bandit"} <= names
    assert len(names) > 100


@pytest.mark.parametrize(
    ("version", "is_affected"),
    [("2.2.4", True), ("2.2.5", False), ("2.3.1", True), ("2.3.2", False), ("10.0", False)],
)
def test_a_version_is_affected_from_its_introduction_to_its_fix(version, is_affected):
    events = [{"introduced": "2.3.0"}, {"fixed": "2.3.2"}, {"introduced": "0"}, {"fixed": "2.2.5"}]
    assert bool(list(affected({("flask", version)}, [advisory(*events)]))) is is_affected


def test_the_last_affected_version_and_single_versions_are_affected():
    last = advisory({"introduced": "0"}, {"last_affected": "3.0"})
    assert list(affected({("flask", "3.0")}, [last]))
    assert not list(affected({("flask", "3.0.1")}, [last]))
    listed = {"id": "X", "affected": [{"package": {"name": "flask"}, "versions": ["3.0"]}]}
    assert list(affected({("flask", "3.0")}, [listed]))


def test_withdrawn_advisories_and_those_of_other_packages_do_not_count():
    start = {"introduced": "0"}
    others = [advisory(start, withdrawn="2024-01-01T00:00:00Z"), advisory(start, name="other")]
    assert not list(affected({("flask", "3.0")}, others))


def test_an_affected_version_ends_with_an_error_and_an_old_file_with_a_warning(tmp_path, capsys):
    file = tmp_path / "advisories.json"
    file.write_text(json.dumps({"date": "2020-01-01", "vulns": [advisory({"introduced": "0"})]}))
    assert main(["--advisories", str(file)]) == 1
    shown = capsys.readouterr()
    assert "flask" in shown.out
    assert "advisories.json is of 2020-01-01" in shown.err
    assert "days old" in shown.err


def test_the_warning_names_a_section_that_has_the_commands(tmp_path, capsys):
    file = tmp_path / "advisories.json"
    file.write_text(json.dumps({"date": "2020-01-01", "vulns": []}))
    assert main(["--advisories", str(file)]) == 0
    named = re.search(r"'(.+)' in (docs/\S+)", capsys.readouterr().err)
    assert named
    page = (ROOT / named[2]).read_text(encoding="utf-8")
    section = page.partition(f"## {named[1]}\n")[2].partition("\n## ")[0]
    assert "scripts.check_vulnerabilities --update" in section


def test_an_archive_without_advisories_leaves_the_file_as_it_is(tmp_path, capsys):
    archive, file = tmp_path / "all.zip", tmp_path / "advisories.json"
    zipfile.ZipFile(archive, "w").close()
    file.write_text("kept")
    with pytest.raises(SystemExit) as ended:
        main(["--advisories", str(file), "--update", str(archive)])
    assert ended.value.code == 2
    assert "no dated advisories" in capsys.readouterr().err
    assert file.read_text() == "kept"


def test_an_update_keeps_the_advisories_about_locked_packages(tmp_path, capsys):
    archive, file = tmp_path / "all.zip", tmp_path / "advisories.json"
    today = dt.datetime.now(dt.UTC).isoformat()
    with zipfile.ZipFile(archive, "w") as entries:
        fixed = advisory({"introduced": "0"}, {"fixed": "0.5"}, modified=today, details="long")
        entries.writestr("X-1.json", json.dumps(fixed))
        entries.writestr("X-2.json", json.dumps(advisory({"introduced": "0"}, name="unused")))
    assert main(["--advisories", str(file), "--update", str(archive)]) == 0
    (kept,) = json.loads(file.read_text())["vulns"]
    assert kept["id"] == "X-1"
    assert "details" not in kept
    assert capsys.readouterr().err == ""


def test_the_file_states_its_date_and_source():
    known = json.loads(ADVISORIES.read_text())
    assert dt.date.fromisoformat(known["date"]).year > 2000
    assert known["source"]
