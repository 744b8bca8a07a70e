from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from paretomerge.errors import DataError
from paretomerge.fronts.racing import SMALLEST_SAMPLE, dominated_probability, drop_dominated

N = 60


def _noisy(means: np.ndarray, rng: np.random.Generator, common: float = 1.0, own: float = 0.1) -> list[np.ndarray]:
    """`means [K, M]` to per-example scores of each objective; most of the noise is the examples' own difficulty."""
    return [
        means[:, [m]] + common * rng.normal(size=N) + own * rng.normal(size=(len(means), N))
        for m in range(means.shape[1])
    ]


def test_one_objective_is_a_paired_t_test_with_two_more_differences() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(0.3, 1, size=(1, N)), rng.normal(size=(1, N))
    found = dominated_probability([ours], [theirs])
    differences = (ours - theirs)[0]
    extra = np.sqrt((differences**2).mean())
    longer = np.array([*differences, extra, -extra])
    # The mean of the differences themselves; their spread with the two that were added.
    spread = np.sqrt((longer**2).sum() / (N + 1) - N / (N + 1) * differences.mean() ** 2)
    expected = stats.t(N - 1).cdf(differences.mean() / (spread / np.sqrt(N)))
    assert found[0, 0] == pytest.approx(expected, rel=1e-10)
    assert dominated_probability([ours], [ours])[0, 0] == 0


def test_objectives_are_joined_by_the_union_bound() -> None:
    rng = np.random.default_rng(1)
    columns = [rng.normal(0.2, 1, size=(1, N)) for _ in range(3)]
    rivals = [rng.normal(size=(1, N)) for _ in range(3)]
    single = [dominated_probability([one], [other])[0, 0] for one, other in zip(columns, rivals, strict=True)]
    assert all(probability > 0 for probability in single)
    joint = dominated_probability(columns, rivals)[0, 0]
    assert joint == pytest.approx(max(0.0, 1 - sum(1 - probability for probability in single)), rel=1e-10)


@given(
    hnp.arrays(np.float64, (3, 25), elements=st.floats(-5, 5)),
    hnp.arrays(np.float64, (3, 25), elements=st.floats(-5, 5)),
)
def test_two_points_never_dominate_each_other_and_all_are_probabilities(one: np.ndarray, other: np.ndarray) -> None:
    probability = dominated_probability([one, other])
    assert ((probability >= 0) & (probability <= 1)).all()
    assert (probability + probability.T <= 1 + 1e-9).all()


def test_examples_pair_so_that_small_differences_are_seen() -> None:
    rng = np.random.default_rng(2)
    means = np.array([[0.0, 1.0], [1.0, 0.0], [0.15, 1.15]])
    assert drop_dominated(_noisy(means, rng)).tolist() == [False, False, True]
    assert drop_dominated(_noisy(means, rng, own=1.0)).tolist() == [False, False, False]


def test_a_point_that_is_better_somewhere_stays() -> None:
    means = np.array([[0.0, 1.0], [3.0, 0.8]])
    assert not drop_dominated(_noisy(means, np.random.default_rng(3))).any()


def test_rivals_from_elsewhere_count_and_are_not_dropped_themselves() -> None:
    rng = np.random.default_rng(4)
    scores = _noisy(np.array([[0.5, 0.5], [0.0, 0.9], [0.1, 0.1]]), rng)
    points, rivals = [column[:2] for column in scores], [column[2:] for column in scores]
    assert drop_dominated(points).tolist() == [False, False]
    assert drop_dominated(points, rivals).tolist() == [True, False]


def test_agreement_on_few_examples_is_no_certainty() -> None:
    """Two binary scores that agree say nothing of their difference; one score that is exact says all."""
    hits = np.ones((2, N))
    better = np.stack([np.full(N, 0.5), np.full(N, 0.1)]) + np.random.default_rng(5).normal(size=N)
    assert dominated_probability([better, -hits])[0, 1] == pytest.approx(0.5)
    assert not drop_dominated([better, -hits]).any()
    size = np.array([[7.0], [7.0]])
    assert drop_dominated([better, size]).tolist() == [True, False]
    assert not drop_dominated([better, size + np.array([[0.0], [1.0]])]).any()


def test_a_constant_difference_is_more_certain_the_more_examples_show_it() -> None:
    found = [dominated_probability([np.ones((1, count))], [np.zeros((1, count))])[0, 0] for count in (2, 5, 20, 100)]
    assert found == sorted(found)
    assert found[0] < 0.9
    assert found[-1] > 0.999999


def test_nothing_is_dropped_from_too_few_examples() -> None:
    def ruled_out(count: int) -> bool:
        noise = np.random.default_rng(6).normal(size=count)
        return bool(drop_dominated([np.stack([noise, noise + 5])])[1])

    assert not ruled_out(SMALLEST_SAMPLE - 1)
    assert ruled_out(SMALLEST_SAMPLE)


@pytest.mark.parametrize("kind", ["binary", "heavy"])
def test_a_point_of_the_front_is_dropped_at_most_with_the_given_probability(kind: str) -> None:
    """Copies of one model and many rivals that are exactly as good on one objective: the worst case."""
    rng = np.random.default_rng(7)
    dropped = 0
    for _ in range(150):
        if kind == "binary":
            columns = [(rng.uniform(size=(8, 40)) < 0.3).astype(float)]
        else:
            columns = [rng.gamma(0.3, size=40) * np.exp(0.3 * rng.normal(size=(8, 40)))]
        dropped += int(drop_dominated(columns, drop_probability=0.9)[0])
    assert dropped / 150 <= 0.1


def test_more_rounds_and_more_certainty_drop_less() -> None:
    rng = np.random.default_rng(8)
    means = np.linspace(0, 0.6, 30)[:, None]
    columns = _noisy(means, rng, own=0.8)
    counts = [
        drop_dominated(columns, drop_probability=probability, rounds=rounds).sum()
        for probability, rounds in ((0.5, 1), (0.95, 1), (0.95, 20), (0.99999, 20))
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_bad_requests_are_named() -> None:
    with pytest.raises(DataError, match="between 0 and 1, got 1"):
        drop_dominated([np.zeros((1, 3))], drop_probability=1.0)
    with pytest.raises(DataError, match="at least one round"):
        drop_dominated([np.zeros((1, 3))], rounds=0)
    with pytest.raises(DataError, match="at least one objective"):
        dominated_probability([])
    with pytest.raises(DataError, match=r"shapes \[1, 3\] and \[1, 4\] cannot be paired"):
        dominated_probability([np.zeros((1, 3))], [np.zeros((1, 4))])
