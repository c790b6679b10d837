"""Every cell of the notebooks runs in a real kernel, in order, with nothing left from before."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
CELL_TIMEOUT_S = 120


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def run(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Execute a notebook in a new kernel of this environment.

    Raises:
        CellExecutionError: a cell fails.
    """
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_TIMEOUT_S,
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute()


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings, font cache and files of the kernel lie in a temporary folder."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_every_cell_runs(path: Path, tmp_path: Path) -> None:
    executed = run(read(path), tmp_path)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", ())]
    errors = [one["text"] for one in outputs if one.get("name") == "stderr"]
    assert errors == [], "no cell warns"
    assert sum("image/png" in one.get("data", {}) for one in outputs) >= 5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_it_is_committed_without_outputs(path: Path) -> None:
    for cell in read(path).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_the_model_that_is_tested_on_later_months_does_not_know_the_statistics_of_them() -> None:
    sources = ["".join(cell.source) for path in NOTEBOOKS for cell in read(path).cells]
    trainings = [text for text in sources if "= train_bundle(" in text]
    assert trainings
    assert not any("market=" in text for text in trainings)


def test_a_cell_that_fails_fails_the_test(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell("price = 1"), nbformat.v4.new_code_cell("price / 0")]
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        run(nbformat.v4.new_notebook(cells=cells), tmp_path)
