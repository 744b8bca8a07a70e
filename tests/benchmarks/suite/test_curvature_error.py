from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks.suite.curvature_error import Truth, curvature_error, relative_error
from tests.benchmarks.suite.tiny_setting import SIZES, tiny_setting

from paretomerge import FitDiagonal, FitIsotropic, FitSubspace, fit_curvatures
from paretomerge.curvature import Curvatures, FitDense
from paretomerge.posteriors import Mixture


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return tiny_setting(tmp_path_factory.mktemp("setting"))


@pytest.fixture(scope="module")
def truth(setting):
    return Truth.of(setting.problem, setting.base, setting.finetunes, SIZES["training"])


def fitted(setting, method) -> Curvatures:
    return fit_curvatures(setting.problem, setting.base, setting.finetunes, method)


def test_an_expansion_at_the_average_on_the_same_examples_is_the_truth(setting, truth) -> None:
    centred = FitSubspace(enrich="none", centres=1)

    assert curvature_error(truth, fitted(setting, centred)) < 1e-6


def test_tensors_and_further_directions_sum_to_the_layers_that_they_are_parts_of(setting, truth) -> None:
    by_tensors = FitSubspace("tensor", enrich="scaled_gradient", centres=1)

    assert curvature_error(truth, fitted(setting, by_tensors)) < 1e-6


def test_a_dense_matrix_at_the_average_is_the_truth_and_a_diagonal_is_not(setting, truth) -> None:
    dense = curvature_error(truth, fitted(setting, FitDense(location="average")))
    diagonal = curvature_error(truth, fitted(setting, FitDiagonal("ggn", location="average")))

    assert dense < 1e-5
    assert 0.1 < diagonal < 1


def test_equal_certainty_everywhere_has_an_error_too(setting, truth) -> None:
    assert 0.1 < curvature_error(truth, fitted(setting, FitIsotropic())) < 1


def test_a_subspace_without_the_layers_task_vectors_cannot_say(setting, truth) -> None:
    assert curvature_error(truth, fitted(setting, FitSubspace("model", centres=1))) is None


def test_what_was_not_measured_has_no_error(setting, truth) -> None:
    part = fitted(setting, FitDense(r"^2\."))
    bare = fitted(setting, FitDiagonal()).bare
    mixtures = Curvatures(FitDiagonal(), {task: Mixture.of_runs([one]) for task, one in bare.items()})

    assert curvature_error(truth, part) is None
    assert curvature_error(truth, mixtures) is None


def test_one_scale_for_all_tasks_is_free_and_one_for_each_is_not() -> None:
    true = {"a": torch.tensor([[2.0, 1.0], [1.0, 3.0]]), "b": torch.eye(2)}

    assert relative_error({task: 5 * matrix for task, matrix in true.items()}, true) == pytest.approx(0, abs=1e-6)
    assert relative_error({"a": true["a"], "b": 3 * true["b"]}, true) > 0.1


def test_the_error_is_the_distance_at_the_best_scale() -> None:
    true = {"a": torch.tensor([[1.0, 0.0], [0.0, 0.0]])}
    found = {"a": torch.tensor([[1.0, 0.0], [0.0, 1.0]])}

    assert relative_error(found, true) == pytest.approx(0.5**0.5)  # s = 1/2
    assert relative_error({"a": torch.zeros(2, 2)}, true) == 1.0


def test_the_truth_is_measured_where_it_is_told(setting, truth) -> None:
    elsewhere = Truth.of(setting.problem, setting.base, setting.finetunes, SIZES["training"], setting.base)

    assert not torch.allclose(elsewhere.curvatures["task 0"], truth.curvatures["task 0"])


def test_a_setting_of_the_older_study_has_the_same_truth(setting, truth, tmp_path: Path) -> None:
    from benchmarks.posteriors.settings import Setting as Older

    older = object.__new__(Older)
    for name in ("problem", "base", "finetunes"):
        object.__setattr__(older, name, getattr(setting, name))

    torch.testing.assert_close(older.true_curvature.curvatures["task 1"], truth.curvatures["task 1"])
