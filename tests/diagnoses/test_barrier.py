from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.diagnoses import Barrier, barriers_between, barriers_of, path_weights
from paretomerge.errors import DataError
from paretomerge.testing import LinearRegressionTasks
from paretomerge.types import Objective, Scores


def _scores(values: list[list[float]], stderr: float = 0.0, direction: str = "minimise") -> Scores:
    tasks = tuple("abc"[: len(values[0])])
    objectives = tuple(Objective(f"loss[{task}]", direction, task=task, metric="loss") for task in tasks)  # type: ignore[arg-type]
    shape = np.full_like(np.array(values), stderr)
    return Scores(tasks, path_weights(len(tasks)), values, shape, objectives, ("merged",) * len(values))


def test_paths_are_the_finetunes_and_then_the_middles_of_pairs() -> None:
    half = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    assert path_weights(3).tolist() == [*np.eye(3).tolist(), *half]


def test_height_is_above_the_mean_of_the_ends_for_both_tasks_of_a_pair() -> None:
    found = barriers_of(_scores([[0.1, 1.0], [0.9, 0.2], [0.8, 0.5]]))
    assert [each.objective for each in found] == ["loss[a]", "loss[b]"]
    assert [each.height for each in found] == pytest.approx([0.3, -0.1])
    assert [each.drop for each in found] == pytest.approx([0.8, 0.8])
    assert found[0].relative == pytest.approx(0.375)


def test_only_the_tasks_of_a_pair_count() -> None:
    ends = [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    middles = [[0.4, 0.4, 9.0], [0.4, 9.0, 0.9], [9.0, 0.4, 0.4]]
    found = barriers_of(_scores(ends + middles))
    assert len(found) == 6
    assert {each.tasks for each in found if each.height > 0} == {("a", "c")}
    [warning] = barriers_between(found)
    assert warning.tasks == ("a", "c")
    assert warning.evidence["height"] == pytest.approx(0.4)
    assert "loss[c] at the midpoint is 0.4" in warning.message


def test_a_quadratic_has_no_barrier(generator: torch.Generator) -> None:
    """Convex losses are never above the line between the ends."""
    tasks = LinearRegressionTasks.random(3, 5, 30, generator)
    tunes = [tasks.finetune(t) for t in range(3)]
    weights = torch.from_numpy(path_weights(3))
    losses = torch.stack([tasks.loss(t, weights @ torch.stack(tunes)) for t in range(3)], dim=1)
    found = barriers_of(_scores(losses.tolist()))
    assert all(each.height < 0 for each in found)
    assert barriers_between(found) == ()


def test_a_double_well_has_one() -> None:
    """`(x² - 1)²` has a finetune in each well: at `1` and at `-1`, and another task's loss is alike."""
    found = barriers_between(barriers_of(_scores([[0.0, 0.1], [0.1, 0.0], [1.0, 1.0]])))
    [warning] = found
    assert (warning.signature, warning.severity) == ("barrier", "warning")
    assert "start merged" in warning.remedy


def test_a_barrier_within_the_noise_is_none() -> None:
    values = [[0.1, 1.0], [0.9, 0.2], [0.6, 0.6]]
    [one, _] = barriers_of(_scores(values, stderr=0.1))
    assert one.height == pytest.approx(0.1)
    assert one.stderr == pytest.approx((0.01 * (0.25 + 0.25 + 1)) ** 0.5)
    assert barriers_between(barriers_of(_scores(values, stderr=0.1))) == ()
    assert len(barriers_between(barriers_of(_scores(values, stderr=0.01)))) == 1


def test_a_barrier_that_is_small_beside_the_drop_is_none() -> None:
    assert barriers_between(barriers_of(_scores([[0.1, 1.0], [0.9, 0.2], [0.52, 0.6]]))) == ()


def test_paired_examples_make_heights_sharp(scores_of) -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=60)
    tables = [rows[:, None] + common + 0.1 * rng.normal(size=(3, 60)) for rows in np.array([[0, 1, 1.0], [1, 0, 1.0]])]
    found = barriers_of(scores_of(*tables, weights=path_weights(2)))
    for each, table in zip(found, tables, strict=True):
        contrast = table[2] - (table[0] + table[1]) / 2
        assert each.height == pytest.approx(contrast.mean())
        assert each.stderr == pytest.approx(contrast.std(ddof=1) / 60**0.5, rel=1e-6)


def test_ends_that_are_equal_make_any_height_infinite() -> None:
    assert Barrier(("a", "b"), "loss[a]", 0.1, 0.0, 0.0).relative == float("inf")
    assert Barrier(("a", "b"), "loss[a]", -0.1, 0.0, 0.0).relative == -float("inf")


def test_scores_of_other_models_are_refused() -> None:
    scores = _scores([[0.1, 1.0], [0.9, 0.2], [0.8, 0.5]])
    with pytest.raises(DataError, match="every finetune and of every pair's average"):
        barriers_of(scores.take([1, 0, 2]))
    with pytest.raises(DataError, match="every finetune"):
        barriers_of(scores.take([0, 1]))


@given(unit=st.floats(1e-3, 1e3), level=st.floats(-2, 2), middle=st.floats(-1, 3))
def test_units_and_directions_change_nothing(unit: float, level: float, middle: float) -> None:
    values = np.array([[0.1, 1.0], [0.9, 0.2], [middle, 0.5]])
    plain = barriers_of(_scores(values.tolist(), 0.01))
    turned = barriers_of(_scores((-unit * (values + level)).tolist(), 0.01 * unit, "maximise"))
    for one, other in zip(plain, turned, strict=True):
        assert other.height == pytest.approx(unit * one.height, rel=1e-6, abs=1e-9 * unit)
        assert other.stderr == pytest.approx(unit * one.stderr)
        assert other.relative == pytest.approx(one.relative, rel=1e-6, abs=1e-9)
