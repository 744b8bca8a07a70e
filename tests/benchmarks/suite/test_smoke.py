"""Every setting once, with every method, as small as it gets."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from benchmarks.suite.collect import collect
from benchmarks.suite.results import Result, rounded
from benchmarks.suite.run import run_seed
from benchmarks.suite.settings import DEFINITIONS
from benchmarks.suite.tables import TABLES

BUNDLED = ("digits-conflict", "conflicting", "adversarial", "imbalanced", "many-tasks", "scale")
"""Starts of the names of settings whose data come with scikit-learn."""
ASSETS = os.environ.get("PARETOMERGE_ASSETS")


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_method_of_every_setting_runs_is_measured_and_has_tables(name, tmp_path):
    if not name.startswith(BUNDLED) and not ASSETS:
        pytest.skip("needs a folder of packages with models and data: PARETOMERGE_ASSETS=DIR")
    definition = DEFINITIONS[name]
    assert run_seed(definition, tmp_path, Path(ASSETS or tmp_path / "assets"), 0, smoke=True) == 0
    measures = json.loads((tmp_path / name / "seed0-smoke" / "measures.json").read_text())
    assert measures["failures"] == {}
    assert [method for method, found in measures["methods"].items() if "failed" in found] == []
    assert {"averaging", "default"} <= set(measures["methods"])
    stored = collect([json.loads(json.dumps(rounded(measures)))], definition.about)
    tables = {table: draw({name: Result(stored)}) for table, draw in TABLES.items()}
    assert name in tables["overview"]
