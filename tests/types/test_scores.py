from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.errors import DataError
from paretomerge.types import Objective, Scores

OBJECTIVES = (Objective("a loss", task="a", metric="loss"), Objective("a accuracy", "maximise", task="a", metric="acc"))


def make(
    weights=((1.0, 0.0, 0.0), (0.0, 0.5, 0.5)),
    values=((1.0, 2.0), (3.0, 4.0)),
    stderr=None,
    origin="merged",
    shared=None,
):
    stderr = np.zeros_like(np.array(values)) if stderr is None else stderr
    return Scores(("a", "b", "c"), weights, values, stderr, OBJECTIVES, origin, shared)


def test_arrays_are_checked_copied_and_frozen():
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    scores = make(values=values)
    values[:] = 0.0
    assert scores.values.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert len(scores) == 2
    assert scores.origin == ("merged", "merged")
    for array in (scores.values, scores.weights, scores.stderr):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": [[1.0, 2.0]]}, r"values have shape \[1, 2\], expected \[2, 2\] \(models × objectives\)"),
        ({"stderr": [[0.0], [0.0]]}, r"stderr have shape \[2, 1\], expected \[2, 2\]"),
        ({"values": [[1.0, 2.0], [3.0, float("nan")]]}, r"values contain nan \(model 1, objective 1\): a diverged"),
        ({"stderr": [[0.0, -1.0], [0.0, 0.0]]}, "standard errors are negative"),
        ({"origin": "guessed"}, "origin must be one of predicted, merged, trained for each of 2 models"),
        ({"origin": ("merged",)}, "origin must be one of"),
        ({"weights": np.ones((3, 2))}, r"weights have shape \[3, 2\], expected \[N, 3\]"),
        ({"weights": [[float("nan"), 0.5, 0.5], [1.0, 0.0, 0.0]]}, "weights contain nan"),
    ],
)
def test_scores_that_disagree_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        make(**change)


def test_there_may_be_no_scores_at_all():
    empty = make(weights=np.zeros((0, 3)), values=np.zeros((0, 2)))
    assert len(empty) == 0
    assert empty.weights.shape == (0, 3)
    assert len(make(weights=[], values=np.zeros((0, 2)))) == 0


def test_rows_are_taken_by_number_or_by_mask():
    scores = make(origin=("merged", "trained"))
    assert scores.take([1]).origin == ("trained",)
    assert scores.take(np.array([False, True])).values.tolist() == [[3.0, 4.0]]
    assert scores.take([1, 0]).weights.tolist() == [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]
    assert len(scores.take([])) == 0


def test_objectives_are_selected_by_their_metric():
    assert make().select("acc").values.tolist() == [[2.0], [4.0]]
    with pytest.raises(DataError, match="no objective has the metric 'bleu'; the metrics are acc, loss"):
        make().select("bleu")


def test_scores_of_the_same_objectives_are_joined():
    joined = Scores.concatenate([make(), make(origin="trained")])
    assert joined.origin == ("merged", "merged", "trained", "trained")
    assert joined.values.shape == (4, 2)
    with pytest.raises(DataError, match="scores of different objectives or tasks cannot be concatenated"):
        Scores.concatenate([make(), make().select("acc")])


def paired(count, objectives=2, seed=0, share=0.7):
    """Scores whose errors move together, with a covariance that depends on `seed`."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(objectives, count, 3))
    shared = np.einsum("mnk,mlk->mnl", factors, factors)
    stderr = np.sqrt(np.einsum("mnn->nm", shared) / share)
    weights = rng.dirichlet(np.ones(3), size=count).reshape(count, 3)
    chosen = tuple(Objective(f"o{m}", metric=f"metric{m}") for m in range(objectives))
    return Scores(("a", "b", "c"), weights, rng.normal(size=(count, objectives)), stderr, chosen, "merged", shared)


@given(count=st.integers(0, 6), objectives=st.integers(1, 4), share=st.floats(0.01, 1.0), seed=st.integers(0, 99))
def test_own_variance_is_what_is_left_of_the_squared_standard_error(count, objectives, share, seed):
    scores = paired(count, objectives, seed, share)
    assert scores.own_variance == pytest.approx((1 - share) * scores.stderr**2, abs=1e-12)
    assert (scores.own_variance >= 0).all()
    unshared = Scores(scores.tasks, scores.weights, scores.values, scores.stderr, scores.objectives, "merged")
    assert np.array_equal(unshared.own_variance, scores.stderr**2)


@given(count=st.integers(1, 6), seed=st.integers(0, 99), data=st.data())
def test_rows_are_taken_with_the_errors_that_they_share(count, seed, data):
    scores = paired(count, seed=seed)
    rows = data.draw(st.lists(st.integers(0, count - 1), max_size=5))
    taken = scores.take(rows)
    assert taken.shared.shape == (2, len(rows), len(rows))
    for one, first in enumerate(rows):
        for other, second in enumerate(rows):
            assert np.array_equal(taken.shared[:, one, other], scores.shared[:, first, second])
    mask = np.isin(np.arange(count), rows)
    assert np.array_equal(scores.take(mask).shared, scores.take(np.flatnonzero(mask)).shared)


def test_objectives_are_taken_with_the_errors_that_they_share():
    scores = paired(4, objectives=3)
    assert np.array_equal(scores.columns([2, 0]).shared, scores.shared[[2, 0]])
    assert np.array_equal(scores.select("metric1").shared, scores.shared[[1]])
    assert scores.columns([2, 0]).values.tolist() == scores.values[:, [2, 0]].tolist()


def test_objectives_are_taken_by_name_in_the_order_asked():
    scores = paired(count=4, objectives=3)
    names = [objective.name for objective in scores.objectives]
    named = scores.named([names[2], names[0]])
    assert [objective.name for objective in named.objectives] == [names[2], names[0]]
    assert named.values.tolist() == scores.values[:, [2, 0]].tolist()
    assert np.array_equal(named.shared, scores.shared[[2, 0]])
    with pytest.raises(ValueError, match="is not in list"):
        scores.named(["nothing"])


@given(counts=st.lists(st.integers(0, 4), min_size=1, max_size=4), seed=st.integers(0, 99), bare=st.booleans())
def test_models_of_different_sets_share_nothing(counts, seed, bare):
    parts = [paired(count, seed=seed + i) for i, count in enumerate(counts)]
    if bare:
        first = parts[0]
        parts[0] = Scores(first.tasks, first.weights, first.values, first.stderr, first.objectives, "merged")
    joined = Scores.concatenate(parts)
    if all(part.shared is None for part in parts):
        assert joined.shared is None
        return
    edges = np.cumsum([0, *counts])
    rest = joined.shared.copy()
    for part, start, end in zip(parts, edges, edges[1:], strict=False):
        block = np.zeros((2, len(part), len(part))) if part.shared is None else part.shared
        assert np.array_equal(joined.shared[:, start:end, start:end], block)
        rest[:, start:end, start:end] = 0.0
    assert not rest.any()
    assert joined.own_variance == pytest.approx(np.concatenate([part.own_variance for part in parts]), abs=1e-12)


@given(count=st.integers(0, 4), objectives=st.integers(1, 3), seed=st.integers(0, 99), bare=st.booleans())
def test_scores_survive_json(count, objectives, seed, bare):
    scores = paired(count, objectives, seed)
    if bare:
        scores = Scores(scores.tasks, scores.weights, scores.values, scores.stderr, scores.objectives, "trained")
    stored = json.loads(json.dumps(scores.as_dict()))
    again = Scores.from_dict(stored)
    for name in ("tasks", "objectives", "origin"):
        assert getattr(again, name) == getattr(scores, name)
    for name in ("weights", "values", "stderr"):
        assert np.array_equal(getattr(again, name), getattr(scores, name))
    assert (again.shared is None) == bare == ("shared" not in stored)
    if not bare:
        assert np.array_equal(again.shared, scores.shared)


def test_shared_errors_are_copied_and_frozen():
    shared = np.zeros((2, 2, 2))
    scores = make(stderr=np.ones((2, 2)), shared=shared)
    shared[:] = 1.0
    assert not scores.shared.any()
    with pytest.raises(ValueError, match="read-only"):
        scores.shared[0] = 1.0


def test_rounding_of_a_covariance_is_forgiven():
    """A score may share all of its error, and the two halves of a product need not be equal to the last bit."""
    shared = np.full((2, 2, 2), 1.0)
    shared[:, 0, 1] += 1e-12
    scores = make(stderr=np.full((2, 2), 1 - 1e-8), shared=shared)
    assert (scores.own_variance == 0).all()


@pytest.mark.parametrize(
    ("shared", "message"),
    [
        (np.zeros((1, 2, 2)), r"shared covariances have shape \[1, 2, 2\], expected \[2, 2, 2\] finite numbers"),
        (np.zeros((2, 2, 3)), r"shared covariances have shape \[2, 2, 3\], expected \[2, 2, 2\]"),
        (np.zeros((2, 3)), r"shared covariances have shape \[2, 3\], expected \[2, 2, 2\]"),
        (np.zeros(8), r"shared covariances have shape \[8\], expected \[2, 2, 2\]"),
        (np.full((2, 2, 2), np.nan), r"expected \[2, 2, 2\] finite numbers"),
        (np.array([np.eye(2), [[1.0, 0.5], [0.4, 1.0]]]), "shared covariances are not symmetric"),
        (np.array([np.eye(2), [[1.0, 0.0], [0.0, 1.1]]]), "a score shares more error with others than it has"),
    ],
)
def test_shared_errors_that_cannot_be_are_refused(shared, message):
    with pytest.raises(DataError, match=message):
        make(stderr=np.ones((2, 2)), shared=shared)
