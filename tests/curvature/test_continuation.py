from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.curvature import (
    LossModel,
    continue_joint,
    dense_gauss_newton,
    fade,
    loss_gradient,
    scaled_gradients,
)
from paretomerge.curvature.continuation import nearness
from paretomerge.errors import AlignmentError, PosteriorError, WeightsError
from paretomerge.merging import merge, merge_coordinates
from paretomerge.posteriors import gradient_basis, task_vector_basis
from paretomerge.types import Layout, Problem, Weights

TASKS = ("a", "b", "c")
BETA = (0.5, 0.3, 0.2)
ALPHA = (0.1, 0.3, 0.6)


@pytest.fixture
def setting():
    torch.manual_seed(1)

    def build():
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()

    data = {t: [(torch.randn(n, 3).double(), torch.randint(0, 3, (n,))) for n in (9, 4)] for t in TASKS}
    problem = Problem(TASKS, build, lambda task, split: data[task])
    base = {name: tensor.clone() for name, tensor in build().state_dict().items()}

    def near():
        return {name: tensor + 0.3 * torch.randn_like(tensor) for name, tensor in base.items()}

    return problem, base, {task: near() for task in TASKS}, near()


def continued(setting, weights=BETA, **options):
    problem, base, finetunes, joint = setting
    return continue_joint(problem, base, finetunes, joint, weights, groups="tensor", **options)


def test_at_its_own_weights_it_is_the_joint_finetune(setting) -> None:
    found = continued(setting)

    model = merge(found.posteriors, dict(zip(TASKS, BETA, strict=True)))

    for name, tensor in setting[3].items():
        assert torch.allclose(model[name], tensor, rtol=1e-13, atol=1e-13)
    assert found.weights.as_mapping() == dict(zip(TASKS, BETA, strict=True))


def test_elsewhere_it_is_the_formula_with_explicit_matrices(setting) -> None:
    problem, base, finetunes, joint = setting
    model = LossModel.of(problem.build())
    gradients = {task: loss_gradient(model, joint, problem.batches(task, "training")) for task in TASKS}
    basis = task_vector_basis(base, finetunes, "tensor")
    aside = {n: sum(b * finetunes[t][n] for b, t in zip(BETA, TASKS, strict=True)) - joint[n] for n in base}
    basis = basis + gradient_basis(scaled_gradients(gradients), basis, "tensor")
    basis = basis + gradient_basis({"joint": aside}, basis, "tensor", "other")
    layout = Layout.of(base)
    V = torch.stack(
        [layout.flatten({n: d.get(n, torch.zeros_like(x)) for n, x in base.items()}) for d in basis.directions], 1
    )
    explicit = [dense_gauss_newton(model, joint, problem.batches(task, "training"), list(base)) for task in TASKS]
    curvature = [V.T @ one.curvature @ V for one in explicit]
    ridge = 0.2 * torch.stack(curvature).mean(0).diagonal()
    total = sum(share * one for share, one in zip(ALPHA, curvature, strict=True)) + torch.diag(ridge)
    slope = sum((a - b) * (V.T @ one.gradient) for a, b, one in zip(ALPHA, BETA, explicit, strict=True))
    expected = layout.flatten(joint) - V @ torch.linalg.solve(total, slope)

    found = merge(continued(setting, damping=0.2).posteriors, dict(zip(TASKS, ALPHA, strict=True)))

    assert torch.allclose(layout.flatten(found), expected, rtol=1e-9, atol=1e-10)


def test_task_vectors_count_from_the_base_and_places_from_the_joint_finetune(setting) -> None:
    posterior = continued(setting).posteriors["a"]

    assert all(torch.equal(posterior.origin[name], tensor) for name, tensor in setting[3].items())
    first = posterior.basis.directions[0]
    for name, tensor in first.items():
        assert torch.equal(tensor, setting[2]["a"][name] - setting[1][name])


def test_a_joint_finetune_at_the_average_brings_no_direction_of_its_own(setting) -> None:
    problem, base, finetunes, _ = setting
    middle = {name: sum(b * finetunes[t][name] for b, t in zip(BETA, TASKS, strict=True)) for name in base}

    kinds = [label.kind for label in continued((problem, base, finetunes, middle)).posteriors["a"].basis.labels]

    assert kinds == ["task_vector"] * 12 + ["gradient"] * 12


def test_more_damping_stays_nearer(setting) -> None:
    lengths = [
        float(merge_coordinates(continued(setting, damping=damping).posteriors, ALPHA).norm())
        for damping in (0.05, 0.5, 5.0)
    ]

    assert lengths[0] > 1.2 * lengths[1] > 1.2 * lengths[2] > 0


def test_more_weight_lowers_the_tasks_own_loss(setting) -> None:
    problem, _, _, joint = setting
    posteriors = continued(setting, damping=1.0).posteriors
    model = LossModel.of(problem.build())
    for number, task in enumerate(TASKS):
        weights = [0.8 * share for share in BETA]
        weights[number] += 0.2
        moved = merge(posteriors, dict(zip(TASKS, weights, strict=True)))
        batches = problem.data(task, "training")
        assert loss_gradient(model, moved, batches).loss < loss_gradient(model, joint, batches).loss


def test_examples_are_limited_and_counted(setting) -> None:
    few = continued(setting, examples=5, gradient_examples=7).ledger
    every = continued(setting).ledger

    # With few outputs the Jacobian takes three backward passes per example.
    assert (few.gradient_passes, every.gradient_passes) == (3 * (7 + 3 * 5), 3 * (13 + 3 * 13))
    assert few.trainings == 0


@pytest.mark.parametrize("damping", [0.0, -1.0, float("nan")])
def test_without_damping_it_is_refused(setting, damping) -> None:
    with pytest.raises(PosteriorError, match=r"damping must be > 0.*nothing limits the step"):
        continued(setting, damping=damping)


def test_weights_off_the_simplex_are_refused(setting) -> None:
    with pytest.raises(WeightsError, match="sum"):
        continued(setting, (0.5, 0.3, 0.3))
    with pytest.raises(WeightsError, match="d"):
        continued(setting, {"a": 0.5, "b": 0.3, "d": 0.2})


def test_fading_leaves_equal_weights_and_ends_at_the_merge(setting) -> None:
    model, merged = {**setting[3], "count": torch.tensor(3)}, {**setting[2]["a"], "count": torch.tensor(7)}

    same = fade(model, merged, [1 / 3] * 3)
    edge = fade(model, merged, {"a": 0.25, "c": 0.75, "b": 0.0})
    between = fade(model, merged, Weights(TASKS, [0.5, 0.3, 0.2]))

    share = 3 * (0.5 * 0.3 * 0.2) ** (1 / 3)
    for name, tensor in setting[3].items():
        assert torch.allclose(same[name], tensor, atol=1e-14)
        assert torch.equal(edge[name], merged[name])
        assert torch.allclose(between[name], share * tensor + (1 - share) * merged[name], atol=1e-14)
    assert int(same["count"]) == int(edge["count"]) == 3


def test_fading_keeps_the_dtype(setting) -> None:
    half = {name: tensor.to(torch.bfloat16) for name, tensor in setting[3].items()}

    assert {tensor.dtype for tensor in fade(half, setting[2]["a"], ALPHA).values()} == {torch.bfloat16}


def test_fading_refuses_weights_off_the_simplex_and_other_models(setting) -> None:
    with pytest.raises(WeightsError, match="sum"):
        fade(setting[3], setting[2]["a"], (0.5, 0.4))
    with pytest.raises(AlignmentError, match="'more' is in one of the two models only"):
        fade(setting[3], {**setting[2]["a"], "more": torch.zeros(1)}, ALPHA)


def test_nearness_is_one_at_equal_weights_and_zero_at_edges() -> None:
    assert nearness([0.25] * 4) == pytest.approx(1, abs=1e-15)
    assert nearness([0.5, 0.5, 0.0]) == 0
    assert nearness([0.5, 0.3, 0.2]) == pytest.approx(3 * 0.03 ** (1 / 3), rel=1e-14)
