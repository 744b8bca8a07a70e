from __future__ import annotations

import torch

from paretomerge.curvature import LossGradient, scaled_gradients
from paretomerge.curvature.enrichment import descent_directions


def gradients():
    def one(seed):
        generator = torch.Generator().manual_seed(seed)
        gradient = {name: torch.randn(shape, generator=generator) for name, shape in {"w": (2, 3), "b": (4,)}.items()}
        return LossGradient(0.0, gradient, {name: 2 * g**2 + 0.1 for name, g in gradient.items()}, 8)

    return {"s": one(1), "t": one(2)}


def test_plain_gradients_are_left_as_they_are():
    found = gradients()
    directions = descent_directions(found, "gradient")
    assert all(torch.equal(directions[task]["w"], found[task].gradient["w"]) for task in found)


def test_scaled_gradients_are_divided_by_the_root_of_the_tasks_mean_second_moment():
    found = gradients()
    moment = {name: (found["s"].squared[name] + found["t"].squared[name]) / 2 for name in ("w", "b")}
    mean = torch.cat([tensor.sqrt().reshape(-1) for tensor in moment.values()]).mean()
    directions = descent_directions(found, "scaled_gradient")
    for task in found:
        for name, second in moment.items():
            expected = found[task].gradient[name] / (second.sqrt() + 0.1 * mean)
            assert torch.allclose(directions[task][name], expected, rtol=1e-5)


def test_rounding_noise_where_the_gradient_is_zero_does_not_become_a_direction():
    gradient = {"w": torch.tensor([1.0, 1e-12])}
    one = LossGradient(0.0, gradient, {"w": gradient["w"] ** 2}, 1)
    assert scaled_gradients({"t": one})["t"]["w"][1] < 1e-10
