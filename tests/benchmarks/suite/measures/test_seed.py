"""Measures of recordings whose means are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.benchmarks.suite.recordings import CORNERS, LOSSES, WEIGHTS, write_method, write_seed

from benchmarks.suite.measures import measured


def of_default(folder):
    return measured(folder)["methods"]["default"]["measures"]


def test_a_preview_that_is_the_truth_has_no_error_and_ratio_one(tmp_path):
    write_method(write_seed(tmp_path), LOSSES)
    found = of_default(tmp_path)
    assert found["loss_error"] == pytest.approx(0, abs=1e-12)
    assert found["accuracy_error"] == pytest.approx(0, abs=1e-12)
    assert found["hypervolume_ratio"] == pytest.approx(1)
    assert found["accuracy_hypervolume_ratio"] == pytest.approx(1)
    assert found["rank_correlation"] == pytest.approx(1)
    assert found["igd_plus"] == pytest.approx(0, abs=1e-12)
    assert found["regret_mean"] == 0
    assert found["regret_worst"] == 0


def test_errors_and_biases_are_means_over_weightings_and_tasks(tmp_path):
    write_method(write_seed(tmp_path), LOSSES + np.array([0.1, -0.3]))
    found = of_default(tmp_path)
    assert found["loss_error"] == pytest.approx(0.2)
    assert found["loss_bias"] == pytest.approx(-0.1)
    assert found["loss_error[left]"] == pytest.approx(0.1)
    assert found["loss_error[right]"] == pytest.approx(0.3)
    assert found["accuracy_error"] == pytest.approx(0.05)
    assert found["loss_error_interior"] == pytest.approx(0.2)
    assert "loss_error_edges" not in found


def test_the_floor_is_the_error_of_other_seeds(tmp_path):
    folder = write_seed(tmp_path, [LOSSES + 0.02, LOSSES - 0.04])
    write_method(folder, LOSSES - 0.01)
    found = measured(folder)
    assert found["floor"]["loss_error"] == pytest.approx(0.03)
    assert found["floor"]["loss_error_of_mean"] == pytest.approx(0.01)
    assert found["floor"]["loss_stdev"] == pytest.approx(np.std([0, 0.02, -0.04], ddof=1))
    assert found["floor"]["rank_correlation"] == pytest.approx(1)
    # The mean of the three grids lies 0.02 / 3 below the first.
    assert found["methods"]["default"]["measures"]["loss_error_to_mean"] == pytest.approx(0.01 - 0.02 / 3)


def test_without_repetitions_there_is_no_floor(tmp_path):
    write_method(write_seed(tmp_path, []), LOSSES)
    assert measured(tmp_path)["floor"] == {}
    assert "loss_error_to_mean" not in of_default(tmp_path)


def test_a_floor_of_fewer_weightings_is_about_those(tmp_path):
    again = LOSSES[:2] + np.array([[0.1, 0.1], [0.3, 0.3]])
    write_method(write_seed(tmp_path, [again]), LOSSES)
    found = measured(tmp_path)
    assert found["floor"]["loss_error"] == pytest.approx(0.2)
    assert found["methods"]["default"]["measures"]["loss_error_to_mean"] == pytest.approx(0.1)


def test_weightings_whose_joint_finetunes_were_used_do_not_count(tmp_path):
    losses = LOSSES + 0.1
    losses[0] = LOSSES[0] + 5
    write_method(write_seed(tmp_path), losses, found={"trained_rows": [0]})
    found = of_default(tmp_path)
    assert found["loss_error"] == pytest.approx(0.1)
    assert not any(name.startswith("recalibrated") for name in found)


def test_costs_count_the_single_finetunes_of_all_runs(tmp_path):
    write_method(write_seed(tmp_path), LOSSES, runs=2)
    found = of_default(tmp_path)
    assert found["trainings"] == 4
    assert found["core_seconds"] == pytest.approx(41)
    assert found["share"] == pytest.approx(41 / 660)
    assert found["share_of_passes"] == pytest.approx(4100 / 66000)
    assert found["own_core_seconds"] == 1


def test_methods_that_pay_for_every_weighting_are_scaled_to_the_grid(tmp_path):
    folder = write_seed(tmp_path)
    write_method(folder, LOSSES)
    dear = {"trainings": 0, "gradient_passes": 600, "evaluations": 0, "core_seconds": 6.0}
    write_method(folder, LOSSES, "steps", factors={"study": "steps", "start": "merge"}, cost=dear)
    found = measured(folder)["methods"]["steps"]["measures"]
    # Two finetunes and the default, 21 s, once; 5 s for five weightings make 66 s for the grid.
    assert found["share"] == pytest.approx((21 + 66) / 660)
    assert found["share_of_passes"] == pytest.approx((2100 + 6600) / 66000)


def test_what_a_method_for_every_weighting_starts_from_must_be_known(tmp_path):
    write_method(write_seed(tmp_path), LOSSES, factors={"study": "steps", "start": "average"})
    assert of_default(tmp_path)["share"] is None


def test_predicted_scores_are_held_against_truth_and_merge(tmp_path):
    write_method(write_seed(tmp_path), LOSSES + 0.1, found={"predicted": (LOSSES[::-1] + 0).tolist()})
    found = of_default(tmp_path)
    assert found["predicted_error"] == pytest.approx(np.abs(LOSSES[::-1] - LOSSES).mean())
    assert found["predicted_error_of_merge"] == pytest.approx(np.abs(LOSSES[::-1] - LOSSES - 0.1).mean())
    assert found["predicted_rank_correlation"] == pytest.approx(0.8)


def test_fronts_are_compared_as_sets_of_any_size(tmp_path):
    folder = write_seed(tmp_path)
    write_method(folder, LOSSES[:1], "search", WEIGHTS[:1], "front", found={"budget": 5})
    found = measured(folder)["methods"]["search"]
    assert found["measures"]["models"] == 1
    assert found["measures"]["hypervolume_ratio"] < 1
    # Four truths are not reached; corners are on both fronts.
    assert found["measures"]["igd_plus"] == pytest.approx((0.2 + 0.2 + 0.1 + 0.1) / 7)
    assert "loss_error" not in found["measures"]
    assert found["facts"] == {"budget": 5}


def test_large_fronts_are_also_compared_with_as_many_models_as_weightings(tmp_path):
    folder = write_seed(tmp_path)
    weights = np.repeat(WEIGHTS, 3, axis=0) + 0.001 * np.arange(15)[:, None]
    losses = np.repeat(LOSSES, 3, axis=0)
    losses[::3] -= 0.05  # one of three neighbours is better than the truth
    write_method(folder, losses, "search", weights, "front")
    found = measured(folder)["methods"]["search"]["measures"]
    assert found["hypervolume_ratio"] > found["hypervolume_ratio_of_as_many"] > 0.95


def test_hypervolume_has_the_worst_finetune_and_a_tenth_as_reference(tmp_path):
    write_method(write_seed(tmp_path), np.full((5, 2), 3.0))
    # Previews beyond the reference add nothing to the two corners: 2.19² - 1.9² against the staircase of the truth.
    reference = 2.0 + 0.1 * 1.9
    corners = 2 * (reference - 0.1) * (reference - 2) - (reference - 2) ** 2
    steps = sorted((*LOSSES.tolist(), *CORNERS.tolist()))
    edges = [*(point[0] for point in steps[1:]), reference]
    staircase = sum((edge - x) * (reference - y) for (x, y), edge in zip(steps, edges, strict=True))
    assert of_default(tmp_path)["hypervolume_ratio"] == pytest.approx(corners / staircase)


def test_what_a_part_of_the_joint_grid_shows_grows_to_one(tmp_path):
    write_method(write_seed(tmp_path), LOSSES)
    volumes = measured(tmp_path)["grid"]["joint_volumes"]
    assert len(volumes) == 6
    assert volumes == sorted(volumes)
    assert volumes[0] < 0.3
    assert volumes[-1] == pytest.approx(1)


def test_one_broken_recording_hides_no_other(tmp_path, capsys):
    folder = write_seed(tmp_path)
    write_method(folder, LOSSES)
    write_method(folder, LOSSES * np.nan, "diverged")
    (folder / "methods" / "torn.json").write_text(json.dumps({**TORN, "name": "torn"}))
    found = measured(folder)["methods"]
    assert found["default"]["measures"]["loss_error"] == pytest.approx(0, abs=1e-12)
    assert "5 of 5 models" in found["diverged"]["failed"]
    assert found["torn"]["failed"].startswith("FileNotFoundError")
    assert "torn.npz" in capsys.readouterr().err


TORN = {"kind": "preview", "factors": {}, "runs": 1, "found": {}, "cost": {}}


def test_failures_are_reported(tmp_path):
    folder = write_seed(tmp_path)
    (folder / "methods").mkdir()
    (folder / "failures").mkdir()
    (folder / "failures" / "a.json").write_text(json.dumps({"name": "A", "error": "ValueError: no"}))
    assert measured(folder)["failures"] == {"A": "ValueError: no"}
