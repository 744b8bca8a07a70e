"""From measures of seeds to committed arrays, and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from benchmarks.suite.collect import collect, seed_folders
from benchmarks.suite.results import Result, compact, place_of, read_results, rounded
from tests.benchmarks.suite.recordings import LOSSES, WEIGHTS, write_method, write_seed

from benchmarks.suite.measures import measured


@pytest.fixture
def stored(tmp_path):
    for seed, off in ((0, 0.1), (1, 0.3)):
        folder = write_seed(tmp_path / f"seed{seed}", [LOSSES + 0.05], seed=seed)
        write_method(folder, LOSSES + off, found={"strength": 0.1, "long": list(range(500))})
        if seed:
            write_method(folder, LOSSES, "late")
            write_method(folder, LOSSES + 0.2, "study, 5 examples", factors={"study": "examples"})
    (tmp_path / "seed1" / "failures").mkdir()
    (tmp_path / "seed1" / "failures" / "x.json").write_text(json.dumps({"name": "x", "error": "ValueError: y"}))
    return collect([measured(folder) for folder in seed_folders(tmp_path)], "about it")


def test_measures_are_arrays_over_seeds(stored):
    assert stored["seeds"] == [0, 1]
    assert stored["methods"]["default"]["measures"]["loss_error"] == pytest.approx([0.1, 0.3])
    assert stored["floor"]["loss_error"] == pytest.approx([0.05, 0.05])
    assert stored["machines"] == [{"python": "3"}]
    assert stored["failures"] == {"x": [None, "ValueError: y"]}


def test_a_seed_without_a_method_has_nothing_there(stored):
    assert stored["methods"]["late"]["measures"]["loss_error"][0] is None


def test_of_studies_a_few_measures_are_kept(stored):
    kept = stored["methods"]["study, 5 examples"]["measures"]
    assert "loss_error" in kept
    assert "loss_bias" not in kept


def test_long_facts_stay_with_the_recordings(stored):
    assert stored["methods"]["default"]["facts"] == {"strength": [0.1, 0.1]}


def test_tuning_and_unfinished_and_smoke_seeds_are_no_results(tmp_path):
    for name in ("seed0", "seed100", "seed2-smoke"):
        write_seed(tmp_path / name)
    (tmp_path / "seed1").mkdir()
    assert [place.name for place in seed_folders(tmp_path)] == ["seed0"]
    assert [place.name for place in seed_folders(tmp_path, [100])] == ["seed100"]


def test_results_are_read_back_in_the_order_of_tables(tmp_path, stored):
    for name in ("imbalanced-50", "digits-conflict", "imbalanced-10", "zebra"):
        (tmp_path / f"{name}.json").write_text(compact(rounded({**stored, "setting": name})))
    (tmp_path / "other.json").write_text("{}")
    assert list(read_results(tmp_path)) == ["digits-conflict", "imbalanced-10", "imbalanced-50", "zebra"]


def test_numbers_of_seeds_with_both_are_paired(stored):
    result = Result(stored)
    ours, theirs = result.pair("default", "loss_error", result.values("late", "loss_error"))
    assert ours == pytest.approx([0.3])
    assert theirs == pytest.approx([0], abs=1e-12)
    assert result.mean("default", "loss_error") == pytest.approx(0.2)
    assert result.mean("default", "nothing") is None


def test_committed_text_has_one_line_for_each_array():
    text = compact(rounded({"a": {"b": [1.23456789, None], "c": {}}, "d": float("nan")}))
    assert text.splitlines() == ["{", ' "a": {', '  "b": [1.235, null],', '  "c": {}', " },", ' "d": null', "}"]
    assert json.loads(text) == {"a": {"b": [1.235, None], "c": {}}, "d": None}


def test_rounding_keeps_whole_numbers_whole():
    assert rounded({"passes": 1029600, "more": 1029600.0, "list": [1 / 3]}) == {
        "passes": 1029600,
        "more": 1029600,
        "list": [0.3333],
    }


def test_variants_follow_their_setting():
    assert place_of("images") < place_of("images-cnn") < place_of("scale-24") < place_of("scale-192")
    assert place_of("many-tasks-8") < place_of("many-tasks-16")


def test_weights_are_those_of_the_recordings():
    assert WEIGHTS.sum(axis=1) == pytest.approx(np.ones(5))
