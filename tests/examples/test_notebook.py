"""The tutorial's notebook runs from top to bottom, and its results show themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sklearn")
nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook" / "tutorial.ipynb"


def test_the_notebook_runs_and_shows_scores_and_front(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not kept in the repository"
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    last = notebook.cells[-1].outputs[-1].data
    assert "accuracy" in last["text/html"]
