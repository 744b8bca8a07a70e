from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.errors import DataError
from paretomerge.evaluation import (
    Evaluation,
    bootstrap_deviations,
    evaluate_one,
    paired,
    paired_difference,
    shared_covariance,
    standard_error,
)
from paretomerge.types import Objective, Origin, Scores

LOSS_A = Objective("loss[a]", task="a", metric="loss")
HIT_A = Objective("accuracy[a]", "maximise", task="a", metric="accuracy")
LOSS_B = Objective("loss[b]", task="b", metric="loss")


def _evaluation(**columns: object) -> Evaluation:
    examples = {name: np.atleast_1d(np.asarray(column, float)) for name, column in columns.items()}
    values = np.array([column.mean() for column in examples.values()])
    return Evaluation(values, np.array([standard_error(column) for column in examples.values()]), examples)


def _merged(count: int) -> tuple[Origin, ...]:
    origin: Origin = "merged"
    return (origin,) * count


def _models(models: int, examples: int, seed: int = 0) -> list[Evaluation]:
    """Loss and accuracy of one task and the loss of another; models differ less than examples do."""
    rng = np.random.default_rng(seed)
    hard, other = rng.gamma(2.0, size=examples), rng.gamma(2.0, size=examples)
    evaluations = []
    for _ in range(models):
        loss = hard + 0.3 * rng.normal(size=examples)
        evaluations.append(
            _evaluation(
                **{"loss[a]": loss, "accuracy[a]": loss < 2.0, "loss[b]": other + 0.3 * rng.normal(size=examples)}
            )
        )
    return evaluations


def test_shared_covariance_is_the_covariance_of_means_of_paired_scores() -> None:
    evaluations = _models(4, 50)
    shared = shared_covariance(evaluations)
    assert shared is not None
    for row, name in enumerate(("loss[a]", "accuracy[a]", "loss[b]")):
        expected = np.cov(np.stack([evaluation.examples[name] for evaluation in evaluations])) / 50
        np.testing.assert_allclose(shared[row], expected, rtol=1e-12, atol=1e-16)


@given(models=st.integers(1, 6), examples=st.integers(2, 30), seed=st.integers(0, 99))
def test_its_diagonal_is_the_squared_standard_error_so_scores_accept_it(models: int, examples: int, seed: int) -> None:
    evaluations = _models(models, examples, seed)
    shared = shared_covariance(evaluations, [LOSS_A, HIT_A, LOSS_B])
    assert shared is not None
    values, stderr = (np.array([getattr(e, name) for e in evaluations]) for name in ("values", "stderr"))
    scores = Scores(("a",), np.zeros((models, 1)), values, stderr, (LOSS_A, HIT_A, LOSS_B), _merged(models), shared)
    np.testing.assert_array_equal(scores.own_variance, 0.0)
    np.testing.assert_array_equal(shared, shared.transpose(0, 2, 1))


def test_objectives_choose_the_order() -> None:
    evaluations = _models(3, 20)
    whole, some = shared_covariance(evaluations), shared_covariance(evaluations, [LOSS_B, LOSS_A])
    assert whole is not None
    assert some is not None
    np.testing.assert_array_equal(some, whole[[2, 0]])


def test_scores_that_cannot_be_paired_share_nothing() -> None:
    one = _evaluation(x=[1.0, 2.0, 4.0], y=[1.0, 3.0], z=[0.5])
    other = _evaluation(x=[1.0, 2.0, 3.0], y=[1.0, 3.0, 4.0], z=[0.7])
    shared = shared_covariance([one, other])
    assert shared is not None
    assert (shared[0] != 0).all()
    assert (shared[1:] == 0).all()
    apart = [Evaluation(e.values[1:], e.stderr[1:], {k: e.examples[k] for k in "yz"}) for e in (one, other)]
    assert shared_covariance(apart) is None


def test_errors_shrink_when_the_examples_are_a_large_part_of_all_there_are() -> None:
    """Against every sample of 3 out of 5 examples: the error of their mean as an estimate of the mean of all five."""
    from itertools import combinations

    scores = np.array([[1.0, 4.0, 2.0, 8.0, 5.0], [2.0, 2.0, 7.0, 1.0, 3.0]])
    errors, estimates = [], []
    for chosen in combinations(range(5), 3):
        part = scores[:, list(chosen)]
        errors.append(part.mean(axis=1) - scores.mean(axis=1))
        found = shared_covariance([_evaluation(x=row) for row in part], population=5)
        assert found is not None
        estimates.append(found[0])
    np.testing.assert_allclose(np.mean(estimates, axis=0), np.einsum("si,sj->ij", errors, errors) / 10, rtol=1e-12)


def test_a_population_is_no_smaller_than_its_sample() -> None:
    evaluations = _models(2, 20)
    assert np.all(shared_covariance(evaluations, population=20) == 0)
    assert np.all(bootstrap_deviations(evaluations, 3, np.random.default_rng(0), population=20) == 0)
    for fails in (
        lambda: shared_covariance(evaluations, population=19),
        lambda: bootstrap_deviations(evaluations, 3, np.random.default_rng(0), population=19),
    ):
        with pytest.raises(DataError, match=r"scored on 20 examples, more than the 19"):
            fails()


def test_the_bootstrap_has_the_covariance_that_models_share() -> None:
    evaluations = _models(3, 6)
    deviations = bootstrap_deviations(evaluations, 40_000, np.random.default_rng(1))
    shared = shared_covariance(evaluations)
    assert shared is not None
    assert deviations.shape == (40_000, 3, 3)
    for objective in range(3):
        found = np.cov(deviations[:, :, objective].T)
        np.testing.assert_allclose(found, shared[objective], rtol=0.05)
        np.testing.assert_allclose(
            deviations[..., objective].mean(axis=0), 0.0, atol=4 * shared[objective].max() ** 0.5 / 200
        )


def test_metrics_of_one_task_are_resampled_together_and_tasks_apart() -> None:
    evaluations = _models(2, 40)
    together = bootstrap_deviations(evaluations, 20_000, np.random.default_rng(0), [LOSS_A, HIT_A, LOSS_B])[:, 0]
    columns = evaluations[0].examples
    expected = np.corrcoef(columns["loss[a]"], columns["accuracy[a]"])[0, 1]
    assert expected < -0.5
    np.testing.assert_allclose(np.corrcoef(together[:, 0], together[:, 1])[0, 1], expected, atol=0.03)
    assert abs(np.corrcoef(together[:, 0], together[:, 2])[0, 1]) < 0.03
    apart = bootstrap_deviations(evaluations, 20_000, np.random.default_rng(0))[:, 0]
    assert abs(np.corrcoef(apart[:, 0], apart[:, 1])[0, 1]) < 0.03


def test_models_on_different_numbers_of_examples_are_resampled_alone() -> None:
    rng = np.random.default_rng(3)
    evaluations = [_evaluation(x=rng.normal(size=n)) for n in (30, 60)]
    deviations = bootstrap_deviations(evaluations, 20_000, np.random.default_rng(0))[..., 0]
    np.testing.assert_allclose(deviations.std(axis=0), [e.stderr[0] for e in evaluations], rtol=0.03)
    assert abs(np.corrcoef(deviations.T)[0, 1]) < 0.03


def test_one_aggregate_score_does_not_move() -> None:
    deviations = bootstrap_deviations([_evaluation(x=0.3), _evaluation(x=0.4)], 5, np.random.default_rng(0))
    np.testing.assert_array_equal(deviations, np.zeros((5, 2, 1)))


def test_deviations_are_the_same_for_the_same_seed_and_do_not_depend_on_how_many_are_held_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluations = _models(2, 30)
    whole = bootstrap_deviations(evaluations, 50, np.random.default_rng(0))
    np.testing.assert_array_equal(whole, bootstrap_deviations(evaluations, 50, np.random.default_rng(0)))
    monkeypatch.setattr(paired, "_LARGEST_TABLE", 90)
    np.testing.assert_allclose(bootstrap_deviations(evaluations, 50, np.random.default_rng(0)), whole, rtol=1e-12)


def test_a_paired_difference_is_sharper_than_the_levels() -> None:
    one, other = _models(2, 200)
    mean, stderr = paired_difference(one, other)
    assert mean.shape == stderr.shape == (3,)
    difference = one.examples["loss[a]"] - other.examples["loss[a]"]
    np.testing.assert_allclose(mean[0], difference.mean(), rtol=1e-12)
    np.testing.assert_allclose(stderr[0], difference.std(ddof=1) / math.sqrt(200), rtol=1e-12)
    assert stderr[0] < 0.5 * np.hypot(one.stderr[0], other.stderr[0])


def test_a_difference_of_unpaired_scores_has_independent_errors() -> None:
    mean, stderr = paired_difference(_evaluation(x=[1.0, 2.0, 6.0]), _evaluation(x=[1.0, 3.0]))
    np.testing.assert_allclose(mean, [1.0])
    np.testing.assert_allclose(stderr, [math.hypot(math.sqrt(7 / 3), 1.0)], rtol=1e-12)


def test_it_agrees_with_what_the_evaluator_measures() -> None:
    evaluations = [
        evaluate_one(k, lambda model, task: {"loss": [model, 2.0 * model, 5.0]}, [LOSS_A]) for k in (0.0, 1.0)
    ]
    shared = shared_covariance(evaluations, [LOSS_A])
    assert shared is not None
    np.testing.assert_allclose(np.diag(shared[0]), [e.stderr[0] ** 2 for e in evaluations], rtol=1e-12)


def test_what_cannot_be_paired_says_why() -> None:
    good, empty = _evaluation(x=[1.0, 2.0]), Evaluation(np.zeros(1), np.zeros(1))
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="no evaluations: nothing was measured"):
        shared_covariance([])
    with pytest.raises(DataError, match="have no per-example scores: an evaluator that returns them"):
        bootstrap_deviations([empty], 3, rng)
    with pytest.raises(DataError, match=r"evaluation 1 has no per-example scores of 'x' \(it has none\)"):
        shared_covariance([good, empty])
    with pytest.raises(DataError, match="0 bootstrap draws: at least one"):
        bootstrap_deviations([good], 0, rng)
    with pytest.raises(DataError, match=r"different objectives \(x; y\)"):
        paired_difference(good, _evaluation(y=[1.0, 2.0]))


def _lone(value: float, stderr: float, losses: object) -> Evaluation:
    """An accuracy without examples, and losses of examples."""
    paired_one = _evaluation(loss=losses)
    return Evaluation(
        np.array([value, paired_one.values[0]]),
        np.array([stderr, paired_one.stderr[0]]),
        {"acc": np.array([value]), "loss": paired_one.examples["loss"]},
    )


def test_lone_numbers_get_noise_of_their_own_error_independent_between_models() -> None:
    losses = np.random.default_rng(0).normal(size=30)
    evaluations = [_lone(0.5, 0.02, losses), _lone(0.6, 0.04, losses)]
    moved = bootstrap_deviations(evaluations, 20_000, np.random.default_rng(1))
    np.testing.assert_allclose(moved[:, :, 0].std(axis=0), [0.02, 0.04], rtol=0.03)
    assert abs(np.corrcoef(moved[:, :, 0].T)[0, 1]) < 0.03
    np.testing.assert_allclose(moved[:, 0, 1], moved[:, 1, 1])  # the same examples


def test_a_difference_of_lone_numbers_has_the_error_of_independent_ones() -> None:
    mean, stderr = paired_difference(_lone(0.6, 0.03, [1.0, 2.0]), _lone(0.5, 0.04, [1.0, 2.0]))
    np.testing.assert_allclose(mean, [0.1, 0.0])
    np.testing.assert_allclose(stderr, [0.05, 0.0], rtol=1e-12)


def test_lone_numbers_share_nothing() -> None:
    shared = shared_covariance([_lone(0.6, 0.03, [1.0, 2.0]), _lone(0.5, 0.04, [1.0, 2.5])])
    assert shared is not None
    assert not shared[0].any()
    assert shared[1].any()
