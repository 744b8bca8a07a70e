"""Problems with known answers: multitask linear regression, where posterior merging is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.errors import DataError
from paretomerge.types import Batch, Layout, Params, Problem, Split


@dataclass(frozen=True, eq=False)
class LinearRegressionTasks:
    """`T` linear regressions over the same `P` parameters, with exactly quadratic losses.

    The mean loss is `l_t(θ) = ½ mean_i (x_iᵀθ - y_i)²`. With `H_t = X_tᵀX_t / n` and `m_t` the least-squares
    solution, `l_t(θ) = ½‖θ-m_t‖²_{H_t} + const`, and the minimiser of `Σ α_t l_t` is `(Σ α_t H_t)^-1 Σ α_t H_t m_t`.

    Args:
        inputs: per task `[n, P]`, float64.
        targets: per task `[n]`, float64.
    """

    inputs: tuple[Tensor, ...]
    targets: tuple[Tensor, ...]

    @classmethod
    def random(cls, tasks: int, parameters: int, examples: int, generator: torch.Generator) -> LinearRegressionTasks:
        """Random tasks; `examples >= parameters` makes every Hessian positive definite.

        Raises:
            DataError: no tasks, parameters or examples.
        """
        if min(tasks, parameters, examples) < 1:
            raise DataError("a linear regression needs at least one task, parameter and example")

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        # Columns of different scale make the Hessians differ from the identity, and from each other.
        inputs = tuple(draw(examples, parameters) * draw(parameters).exp().clamp(0.3, 3.0) for _ in range(tasks))
        return cls(inputs, tuple(draw(examples) for _ in range(tasks)))

    @property
    def tasks(self) -> tuple[str, ...]:
        """`task0`, `task1`, …"""
        return tuple(f"task{t}" for t in range(len(self.inputs)))

    @property
    def hessians(self) -> list[Tensor]:
        """`H_t [P, P]`."""
        return [x.T @ x / len(x) for x in self.inputs]

    def loss(self, task: int, theta: Tensor) -> Tensor:
        """`l_t(θ)` at `θ [..., P]`."""
        residuals = theta @ self.inputs[task].T - self.targets[task]
        return 0.5 * residuals.square().mean(-1)

    def minimiser(self, weights: Tensor) -> Tensor:
        """`argmin Σ α_t l_t`, by least squares on the stacked, weighted examples (no normal equations): `[P]`."""
        rows = [
            (weight / len(x)) ** 0.5 * torch.cat([x, y[:, None]], 1)
            for weight, x, y in zip(weights, self.inputs, self.targets, strict=True)
        ]
        stacked = torch.cat(rows)
        return torch.linalg.lstsq(stacked[:, :-1], stacked[:, -1:], driver="gelsd").solution[:, 0]

    def finetune(self, task: int) -> Tensor:
        """`m_t [P]`."""
        weights = torch.zeros(len(self.inputs), dtype=torch.float64)
        weights[task] = 1.0
        return self.minimiser(weights)

    def as_params(self, theta: Tensor) -> dict[str, Tensor]:
        """`θ [P]` as the parameters of the module that `problem` builds."""
        return {"linear.weight": theta[None].clone()}

    def problem(self, batch_size: int = 16) -> Problem:
        """The same tasks as a `Problem`: a bias-free linear layer with half the squared error."""

        def data(task: str, split: Split) -> list[Batch]:
            index = self.tasks.index(task)
            pairs = zip(
                self.inputs[index].split(batch_size), self.targets[index][:, None].split(batch_size), strict=True
            )
            return list(pairs)

        return Problem(self.tasks, lambda: _Linear(self.inputs[0].shape[1]), data, likelihood="gaussian")

    def layout(self) -> Layout:
        """How the parameters are concatenated."""
        return Layout.of(self.as_params(torch.zeros(self.inputs[0].shape[1], dtype=torch.float64)))


class _Linear(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1, bias=False, dtype=torch.float64)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(inputs)


def random_params(shapes: dict[str, Any], generator: torch.Generator, dtype: torch.dtype = torch.float64) -> Params:
    """Standard normal parameters of the given shapes."""
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for name, shape in shapes.items()
    }
