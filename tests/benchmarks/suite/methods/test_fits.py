from __future__ import annotations

import dataclasses

import pytest
import torch
from benchmarks.suite.methods.fits import base_for, few_examples, fit_once, fitted_to
from tests.benchmarks.suite.tiny_setting import tiny_setting

from benchmarks.suite.methods import fits
from paretomerge import FitDiagonal, FitSubspace


@pytest.fixture
def setting(tmp_path):
    return tiny_setting(tmp_path)


def test_a_kept_fit_is_measured_once_and_the_next_method_is_told_its_price(setting) -> None:
    first = fit_once(setting, FitDiagonal(), keep=True)
    second = fit_once(setting, FitDiagonal())

    assert second.curvatures is first.curvatures
    assert first.core_seconds == 0  # its watch has seen it
    assert second.core_seconds > 0


def test_a_fit_that_nobody_else_needs_is_not_kept(setting) -> None:
    first = fit_once(setting, FitDiagonal())

    assert fit_once(setting, FitDiagonal()).curvatures is not first.curvatures


def test_other_settings_runs_and_seeds_are_other_fits(setting, tmp_path) -> None:
    found = [
        fit_once(setting, FitDiagonal(), keep=True),
        fit_once(setting, FitDiagonal("empirical"), keep=True),
        fit_once(setting, FitDiagonal(), keep=True, repeat=1),
        fit_once(tiny_setting(tmp_path / "other", seed=1), FitDiagonal(), keep=True),
    ]

    assert len({id(one.curvatures) for one in found}) == 4
    assert all(one.core_seconds == 0 for one in found)


def test_fits_of_large_models_are_not_kept(setting, monkeypatch) -> None:
    monkeypatch.setattr(fits, "LARGEST_KEPT", 50)
    first = fit_once(setting, FitDiagonal(), keep=True)

    assert fit_once(setting, FitDiagonal(), keep=True).curvatures is not first.curvatures
    assert fits.error_of(setting, first.curvatures) == {}


def test_the_setting_says_how_many_examples_and_which_groups_unless_the_fit_does(setting) -> None:
    chosen = dataclasses.replace(setting, groups="tensor")

    assert fitted_to(chosen, FitSubspace()) == FitSubspace("tensor", examples=16)
    assert fitted_to(chosen, FitSubspace("block", examples=3)) == FitSubspace("block", examples=3)
    assert fitted_to(chosen, FitDiagonal(examples=5)) == FitDiagonal(examples=5)
    assert fit_once(chosen, FitDiagonal()).curvatures.ledger.gradient_passes == 3 * 16


def test_fewer_training_examples_leave_the_other_splits_alone(setting) -> None:
    few = few_examples(setting.problem, 5)

    assert few.count_examples("task 1", "training") == 5
    assert few.count_examples("task 1", "validation") == 24
    torch.testing.assert_close(
        few.batches("task 1", "training")[0][0], setting.problem.batches("task 1", "training")[0][0][:5]
    )


def test_merges_start_from_the_batch_statistics_of_the_average(tmp_path) -> None:
    setting = tiny_setting(tmp_path, kind="statistics")

    found = base_for(setting, setting.finetunes)

    assert not torch.allclose(found["1.running_mean"], setting.base["1.running_mean"])
    assert all(found[name] is setting.base[name] for name in found if "running" not in name and "batches" not in name)


def test_without_batch_statistics_the_base_is_the_base(setting) -> None:
    assert base_for(setting, setting.finetunes) is setting.base


def test_the_curvature_error_of_the_default_is_known(setting) -> None:
    found = fits.error_of(setting, fit_once(setting, FitSubspace()).curvatures)

    assert 0 < found["curvature_error"] < 1
