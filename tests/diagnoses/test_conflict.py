from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.diagnoses import Overlap, task_vector_overlaps, tasks_conflict, transfers_of
from paretomerge.testing import LinearRegressionTasks

BASE = {"w": torch.zeros(2, 2), "b": torch.zeros(2), "steps": torch.tensor(3)}


def _tune(weight: list[list[float]], bias: list[float]) -> dict[str, torch.Tensor]:
    return {"w": torch.tensor(weight), "b": torch.tensor(bias), "steps": torch.tensor(9)}


def test_overlaps_are_of_task_vectors_and_not_of_parameters() -> None:
    base = {"w": torch.full((2,), 100.0)}
    found = task_vector_overlaps(base, {"a": {"w": base["w"] + torch.tensor([1.0, 0])}, "b": {"w": base["w"] - 2.0}})
    assert found["a", "b"].cosine == pytest.approx(-1 / 2**0.5)
    assert found["a", "b"].opposed == 1.0


def test_overlaps_count_elements_by_how_much_they_overlap() -> None:
    tunes = {
        "a": _tune([[1, 0], [2, 0]], [0, 1]),
        "b": _tune([[1, 5], [-1, 0]], [0, 4]),
        "c": _tune([[0, 1], [0, 0]], [0, 0]),
    }
    found = task_vector_overlaps(BASE, tunes)
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found["a", "b"].opposed == pytest.approx(2 / 7)
    assert found["a", "b"].cosine == pytest.approx((1 - 2 + 4) / (6 * 43) ** 0.5)
    assert found["a", "c"].cosine == 0.0
    assert np.isnan(found["a", "c"].opposed)


def test_a_finetune_equal_to_the_base_overlaps_with_nothing() -> None:
    found = task_vector_overlaps(BASE, {"a": _tune([[1, 0], [2, 0]], [0, 1]), "b": BASE})
    assert np.isnan(found["a", "b"].cosine)
    assert tasks_conflict(("a", "b"), None, found) == ()


def test_tensors_that_a_finetune_lacks_are_left_out() -> None:
    other = {"w": torch.ones(2, 2), "b": torch.ones(3)}
    assert task_vector_overlaps(BASE, {"a": _tune([[1, 1], [1, 1]], [7, 7]), "b": other})["a", "b"].cosine == 1.0


def test_transfer_is_in_units_of_what_finetuning_itself_brings() -> None:
    table = np.array([[0.5, 1.2], [1.0, 0.6]])
    assert transfers_of(table, [1.0, 1.0]) == pytest.approx(np.array([[1.0, -0.5], [0.0, 1.0]]))


def test_a_task_whose_finetuning_brought_nothing_has_no_transfer() -> None:
    found = transfers_of(np.array([[1.1, 0.9], [0.5, 0.6]]), [1.0, 1.0])
    assert np.isnan(found[:, 0]).all()
    assert np.isfinite(found[:, 1]).all()
    assert tasks_conflict(("a", "b"), found) == ()


def test_linear_regressions_with_opposite_targets_conflict(generator: torch.Generator) -> None:
    one = LinearRegressionTasks.random(1, 3, 40, generator)
    targets = one.inputs[0] @ torch.ones(3, dtype=torch.float64)
    tasks = LinearRegressionTasks((one.inputs[0],) * 2, (targets, -targets))
    base = torch.zeros(3, dtype=torch.float64)
    tunes = [tasks.finetune(t) for t in range(2)]
    losses = np.array([[float(tasks.loss(t, tune)) for t in range(2)] for tune in tunes])
    transfers = transfers_of(losses, [float(tasks.loss(t, base)) for t in range(2)])
    overlaps = task_vector_overlaps(
        tasks.as_params(base), {name: tasks.as_params(tune) for name, tune in zip(tasks.tasks, tunes, strict=True)}
    )
    assert transfers == pytest.approx(np.array([[1.0, -3.0], [-3.0, 1.0]]))
    [found] = tasks_conflict(tasks.tasks, transfers, overlaps, measured=True)
    assert found.signature == "conflict"
    assert found.tasks == tasks.tasks
    assert found.evidence == pytest.approx(
        {"cosine": -1.0, "opposed": 1.0, "transfer to task1": -3.0, "transfer to task0": -3.0}
    )
    assert "oppose each other (cosine -1.00)" in found.message
    assert "finetuning on task0 costs task1 3 times as much as its own finetuning brought it" in found.message


def test_tasks_that_help_each_other_or_have_nothing_to_do_with_each_other_are_silent() -> None:
    overlaps = {("a", "b"): Overlap(0.0, 0.5)}
    assert tasks_conflict(("a", "b"), np.array([[1.0, 0.4], [-0.1, 1.0]]), overlaps, measured=True) == ()


def test_predicted_harm_is_said_to_be_predicted() -> None:
    [found] = tasks_conflict(("a", "b"), np.array([[1.0, 0.4], [-2.0, 1.0]]))
    assert found.severity == "note"
    assert "finetuning on b is predicted to cost a 2 times" in found.message
    assert "transfer to b" in found.evidence


def test_pairs_are_looked_at_one_by_one() -> None:
    transfers = np.array([[1.0, 0.5, -1.5], [0.5, 1.0, 0.3], [0.2, 0.1, 1.0]])
    [found] = tasks_conflict(("a", "b", "c"), transfers, measured=True)
    assert found.tasks == ("a", "c")


@given(unit=st.floats(1e-3, 1e3), level=st.floats(-3, 3), seed=st.integers(0, 50))
def test_transfer_has_no_unit_and_no_level(unit: float, level: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    losses, base = rng.normal(size=(3, 3)), 3 + rng.random(3)
    np.testing.assert_allclose(
        transfers_of(unit * (losses + level), list(unit * (base + level))), transfers_of(losses, list(base)), rtol=1e-6
    )


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 20))
def test_overlap_does_not_depend_on_the_length_of_task_vectors(scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    one, other = (torch.randn(6, generator=generator, dtype=torch.float64) for _ in range(2))
    base = {"w": torch.zeros(6, dtype=torch.float64)}
    plain = task_vector_overlaps(base, {"a": {"w": one}, "b": {"w": other}})["a", "b"]
    long = task_vector_overlaps(base, {"a": {"w": one}, "b": {"w": scale * other}})["a", "b"]
    assert (long.cosine, long.opposed) == pytest.approx((plain.cosine, plain.opposed))
