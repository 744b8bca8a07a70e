"""One row per merge rule and posterior family, naming the laws it claims.

A new method is tested by adding a row: `merging/test_laws.py` runs every claimed law over random models, dtypes,
numbers of tasks and weights, and shows by a counterexample that every law a row does not claim is false for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from paretomerge.merging import (
    Averaging,
    Breadcrumbs,
    Dare,
    Della,
    FisherWeighted,
    MergeRule,
    MixtureMerge,
    PosteriorMerge,
    Slerp,
    TaskArithmetic,
    Ties,
    WeightedSum,
    merge,
)
from paretomerge.posteriors import (
    Basis,
    Dense,
    Diagonal,
    Grouping,
    Isotropic,
    Kronecker,
    KroneckerFactors,
    LowRank,
    Mixture,
    Posterior,
    Product,
    Subspace,
    damp,
    task_vector_basis,
)
from paretomerge.types import Layout, Params

LAWS = (
    "corner_returns_task",
    "equal_tasks_are_fixed",
    "order_does_not_matter",
    "batch_equals_single",
    "inputs_are_untouched",
    "blockwise_equals_whole",
    "dtypes_are_kept",
    "no_weight_returns_base",
    "weightless_task_is_absent",
)

TOLERANCE = {torch.float64: 1e-7, torch.float32: 3e-4, torch.float16: 4e-3, torch.bfloat16: 2e-2}
"""Relative to the largest magnitude of a tensor: a few units in the last place, times how much a merge may cancel."""

PRIOR_PRECISION = 0.3


@dataclass(frozen=True, eq=False)
class Setting:
    """A random merge: base, finetunes, and the Jacobians whose squares are the tasks' curvature.

    `jacobians[task][name]` is `[n, *shape]`, so the curvature of any family, and of any part of the model, is that of
    one and the same quadratic loss. `strengths` are the precisions of isotropic posteriors.
    """

    base: Params
    finetunes: Mapping[str, Params]
    jacobians: Mapping[str, Mapping[str, Tensor]]
    strengths: Mapping[str, float]
    weights: np.ndarray
    seed: int

    def __repr__(self) -> str:
        shapes = {name: tuple(tensor.shape) for name, tensor in self.base.items()}
        return f"Setting.random({shapes}, {self.dtype}, {len(self.tasks)}, seed={self.seed})"

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.finetunes)

    @property
    def dtype(self) -> torch.dtype:
        return self.base["head.weight"].dtype if "head.weight" in self.base else next(iter(self.base.values())).dtype

    @property
    def tolerance(self) -> float:
        return TOLERANCE[self.dtype]

    @property
    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def restricted(self, *names: str) -> Setting:
        """The same problem on some of the tensors."""
        keep = lambda params: {name: params[name] for name in params if name in names}  # noqa: E731
        return replace(
            self,
            base=keep(self.base),
            finetunes={task: keep(finetune) for task, finetune in self.finetunes.items()},
            jacobians={task: keep(jacobian) for task, jacobian in self.jacobians.items()},
        )

    def without(self, absent: str) -> Setting:
        """The same problem with one task less."""
        return replace(self, finetunes={task: tune for task, tune in self.finetunes.items() if task != absent})

    def of_two(self) -> Setting:
        """The same problem with the first two tasks; where there is only one, the base is the other."""
        pair = dict(list({**self.finetunes, "z": self.base}.items())[:2])
        share = self.weights[:, 0]
        return replace(self, finetunes=pair, weights=np.stack([share / 2, 1 - share / 2], axis=1))

    def with_equal_finetunes(self) -> Setting:
        """Every task has the first one's finetune, and keeps its own curvature."""
        return replace(self, finetunes=dict.fromkeys(self.tasks, self.finetunes[self.tasks[0]]))

    @classmethod
    def random(
        cls, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, tasks: int, seed: int, counter: bool = False
    ) -> Setting:
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        extra = {"steps": torch.tensor(7)} if counter else {}
        shapes = {**shapes, "head.weight": (2, 2), "head.bias": (2,)}
        rows = 2 * sum(int(np.prod(shape)) for shape in shapes.values()) + 3
        names = tuple("abcdef"[:tasks])
        rng = np.random.default_rng(seed)
        return cls(
            {**{name: draw(*shape).to(dtype) for name, shape in shapes.items()}, **extra},
            {task: {**{name: draw(*shape).to(dtype) for name, shape in shapes.items()}, **extra} for task in names},
            {task: {name: draw(rows, *shape) for name, shape in shapes.items()} for task in names},
            {task: float(strength) for task, strength in zip(names, rng.uniform(0.5, 2.0, tasks), strict=True)},
            rng.dirichlet(np.ones(tasks), size=3),
            seed,
        )


@dataclass(frozen=True, eq=False)
class Given:
    """What `merge` is given besides weights."""

    posteriors: Mapping[str, Posterior | Params]
    prior: Posterior | None = None
    base: Params | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """One row: a rule, the posteriors it is given, the laws it claims, and the weights it takes.

    `reach`: `"simplex"`; `"below"`, sums up to one, for rows with a prior; `"any"` for scaling coefficients.
    `pairs`: whether the rule takes two tasks and no other number.
    """

    name: str
    rule: MergeRule
    give: Callable[[Setting], Given]
    claims: frozenset[str]
    reach: Literal["simplex", "below", "any"] = "simplex"
    pairs: bool = False

    def fitting(self, setting: Setting) -> Setting:
        """The setting, with as many tasks as the rule takes."""
        return setting.of_two() if self.pairs else setting

    def merger(self, setting: Setting, reverse: bool = False) -> Callable[[Any], Any]:
        """`weights → merged`, with the tasks in their own or in reverse order."""
        given = self.give(setting)
        posteriors = dict(reversed(given.posteriors.items())) if reverse else given.posteriors
        return lambda weights: merge(posteriors, weights, prior=given.prior, rule=self.rule, base=given.base)

    def weightings(self, setting: Setting) -> np.ndarray:
        """Three weightings `[3, T]` in reach."""
        if self.reach == "any":
            return 3 * setting.weights - 1
        return setting.weights * (np.array([[1.0], [0.7], [0.2]]) if self.reach == "below" else 1.0)


def _checkpoints(setting: Setting) -> Given:
    return Given(setting.finetunes)


def _with_base(setting: Setting) -> Given:
    return Given(setting.finetunes, base=setting.base)


def _isotropic(setting: Setting, prior: bool = False) -> Given:
    posteriors = {task: Isotropic(tune, setting.strengths[task]) for task, tune in setting.finetunes.items()}
    return Given(posteriors, Isotropic(setting.base, PRIOR_PRECISION) if prior else None)


def _diagonal(setting: Setting, prior: bool = False) -> Given:
    added = PRIOR_PRECISION if prior else 0.0
    posteriors = {
        task: Diagonal(
            tune,
            {
                name: _as_curvature(rows.square().mean(0) + added, tune)
                for name, rows in setting.jacobians[task].items()
            },
        )
        for task, tune in setting.finetunes.items()
    }
    flat = {
        name: torch.full(t.shape, PRIOR_PRECISION, dtype=torch.float32)
        for name, t in setting.base.items()
        if t.is_floating_point()
    }
    return Given(posteriors, Diagonal(setting.base, flat) if prior else None)


def _dense(setting: Setting, prior: bool = False) -> Given:
    layout = Layout.of(setting.base)
    identity = PRIOR_PRECISION * torch.eye(layout.size, dtype=torch.float64)
    posteriors = {}
    for task, tune in setting.finetunes.items():
        rows = _rows(layout, setting.jacobians[task])
        posteriors[task] = Dense(tune, rows.T @ rows / len(rows) + (identity if prior else 0.0))
    return Given(posteriors, Dense(setting.base, identity) if prior else None)


def _subspace(groups: Grouping) -> Callable[[Setting], Given]:
    """Curvature `A_t = Vᵀ H_t V` at the finetunes, with the ridge that `damp` gives."""

    def give(setting: Setting) -> Given:
        basis = task_vector_basis(setting.base, setting.finetunes, groups)
        bare = {}
        for task in setting.tasks:
            tangents = _tangents(basis, setting.jacobians[task])
            curvature = tangents.T @ tangents / len(tangents)
            bare[task] = Subspace(setting.base, basis, curvature, curvature @ basis.corner(task))
        return Given(damp(bare, 0.1))

    return give


def _centred(setting: Setting) -> Given:
    """Expansions `(A_t, A_t c - b_t)` at a common centre; every `A_t` is singular, their weighted sum is not."""
    basis = task_vector_basis(setting.base, setting.finetunes, "model")
    size, generator = len(basis), setting.generator
    centre = torch.full((size,), 1 / size, dtype=torch.float64)
    posteriors = {}
    for task in setting.tasks:
        rows = _tangents(basis, setting.jacobians[task])[: max(size - 1, 1)]
        slope = torch.randn(size, generator=generator, dtype=torch.float64)
        curvature = rows.T @ rows
        posteriors[task] = Subspace(setting.base, basis, curvature, curvature @ centre - slope)
    return Given(posteriors)


def _product(setting: Setting) -> Given:
    """Dense on the head, diagonal on the rest."""
    head = [name for name in setting.base if name.startswith("head")]
    rest = [name for name in setting.base if not name.startswith("head")]
    parts = {
        **({"head": _dense(setting.restricted(*head)).posteriors} if head else {}),
        **({"rest": _diagonal(setting.restricted(*rest)).posteriors} if rest else {}),
    }
    posteriors = {task: Product({part: parts[part][task] for part in parts}) for task in setting.tasks}
    # Parts have an order of their own: the base gives the model's.
    return Given(posteriors, base=setting.base)


def _kronecker(setting: Setting, prior: bool = False, corrected: bool = True) -> Given:
    """Eigenbases and eigenvalues of the part of each layer's curvature that a Kronecker product can say."""
    added = PRIOR_PRECISION if prior else 0.0
    posteriors = {
        task: Kronecker(
            _mergeable(tune),
            {
                name: _factors(name, rows, tune[name].ndim, added, corrected)
                for name, rows in setting.jacobians[task].items()
            },
        )
        for task, tune in setting.finetunes.items()
    }
    if not prior:
        return Given(posteriors, base=setting.base)
    flat = {
        name: KroneckerFactors(
            name, None, None, None, torch.full((_rows_of(tensor), _columns_of(tensor)), PRIOR_PRECISION)
        )
        for name, tensor in _mergeable(setting.base).items()
    }
    return Given(posteriors, Kronecker(_mergeable(setting.base), flat), setting.base)


def _factors(name: str, jacobian: Tensor, ndim: int, added: float, corrected: bool) -> KroneckerFactors:
    """From the per-example gradients of one tensor, seen as a matrix of its rows and all other dimensions."""
    shape = (jacobian.shape[1] if ndim else 1, math.prod(jacobian.shape[2:]))
    if not jacobian.numel():
        return KroneckerFactors(name, None, None, None, torch.zeros(shape))
    matrices = jacobian.reshape(len(jacobian), *shape)
    left, U_G = torch.linalg.eigh((matrices @ matrices.mT).mean(0))
    right, U_A = torch.linalg.eigh((matrices.mT @ matrices).mean(0))
    values = (U_G.T @ matrices @ U_A).square().mean(0) if corrected else torch.outer(left, right) / left.sum()
    return KroneckerFactors(name, None, U_A, U_G, values.clamp_min(0) + added)


def _mergeable(params: Params) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in params.items() if tensor.is_floating_point()}


def _rows_of(tensor: Tensor) -> int:
    return tensor.shape[0] if tensor.ndim else 1


def _columns_of(tensor: Tensor) -> int:
    return math.prod(tensor.shape[1:])


def _low_rank(setting: Setting, prior: bool = False) -> Given:
    """Two rows of each task's Jacobian, and a diagonal."""
    added = PRIOR_PRECISION if prior else 0.0
    posteriors = {
        task: LowRank(
            tune,
            {name: rows.square().mean(0) + added for name, rows in setting.jacobians[task].items()},
            {name: rows[:2] for name, rows in setting.jacobians[task].items()},
        )
        for task, tune in setting.finetunes.items()
    }
    if not prior:
        return Given(posteriors)
    names = setting.jacobians[setting.tasks[0]]
    diagonal = {name: torch.full(setting.base[name].shape, PRIOR_PRECISION) for name in names}
    return Given(
        posteriors, LowRank(setting.base, diagonal, {n: torch.zeros(0, *setting.base[n].shape) for n in names})
    )


def _alone(give: Callable[[Setting], Given]) -> Callable[[Setting], Given]:
    """Every posterior as a mixture of one component."""

    def given(setting: Setting) -> Given:
        found = give(setting)
        return replace(found, posteriors={task: Mixture([one]) for task, one in found.posteriors.items()})

    return given


def _two_runs(give: Callable[[Setting], Given]) -> Callable[[Setting], Given]:
    """A second run of every task, with a finetune of its own and the curvature of the same examples."""

    def again(setting: Setting, task: str) -> Params:
        moved = {}
        for name, tensor in setting.finetunes[task].items():
            generator = torch.Generator().manual_seed(sum(map(ord, f"{setting.seed}{task}{name}")))
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            moved[name] = (tensor + 0.3 * noise).to(tensor.dtype) if tensor.is_floating_point() else tensor
        return moved

    def given(setting: Setting) -> Given:
        first = give(setting)
        second = give(replace(setting, finetunes={task: again(setting, task) for task in setting.tasks}))
        runs = {task: Mixture([first.posteriors[task], second.posteriors[task]], [0.3, -0.3]) for task in setting.tasks}
        return replace(first, posteriors=runs)

    return given


def _as_curvature(precision: Tensor, tune: Params) -> Tensor:
    """Curvature is kept in float32 unless the model is float64."""
    double = any(tensor.dtype == torch.float64 for tensor in tune.values())
    return precision if double else precision.float()


def _rows(layout: Layout, jacobian: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([jacobian[name].reshape(len(jacobian[name]), -1) for name in layout.shapes], 1)


def _tangents(basis: Basis, jacobian: Mapping[str, Tensor]) -> Tensor:
    """`J V [n, D]`."""
    columns = [
        sum(
            (jacobian[name].flatten(1) if jacobian[name].ndim > 1 else jacobian[name][:, None])
            @ tensor.reshape(-1).to(torch.float64)
            for name, tensor in direction.items()
        )
        for direction in basis.directions
    ]
    return torch.stack(columns, 1)


_ALWAYS = frozenset({"order_does_not_matter", "batch_equals_single", "inputs_are_untouched", "dtypes_are_kept"})
_TASKS = frozenset({"corner_returns_task", "equal_tasks_are_fixed"})
_BLOCKS = frozenset({"blockwise_equals_whole"})
_BASE = frozenset({"no_weight_returns_base"})
_ABSENT = frozenset({"weightless_task_is_absent"})
_TRIMMED = _ALWAYS | _BLOCKS | _BASE | _ABSENT

CASES: tuple[Case, ...] = (
    Case("averaging", Averaging(), _checkpoints, _ALWAYS | _TASKS | _BLOCKS | _ABSENT),
    Case("averaging of diagonal posteriors", Averaging(), _diagonal, _ALWAYS | _TASKS | _BLOCKS | _ABSENT),
    Case("task arithmetic", TaskArithmetic(), _with_base, _ALWAYS | _TASKS | _BLOCKS | _BASE | _ABSENT, "any"),
    Case("task arithmetic, scale 0.5", TaskArithmetic(0.5), _with_base, _ALWAYS | _BLOCKS | _BASE | _ABSENT, "any"),
    Case("weighted sum", WeightedSum(), _checkpoints, _ALWAYS | _TASKS | _BLOCKS | _ABSENT, "any"),
    Case("ties", Ties(), _with_base, _TRIMMED, "any"),
    Case("ties, not normalised", Ties(0.6, scale=0.7, normalize=False), _with_base, _TRIMMED, "any"),
    Case("ties of whole task vectors", Ties(1.0), _with_base, _TRIMMED | _TASKS, "any"),
    Case("dare", Dare(0.6), _with_base, _TRIMMED, "any"),
    Case("dare that drops nothing", Dare(1.0), _with_base, _TRIMMED | _TASKS, "any"),
    Case("dare with elected signs", Dare(0.6, elect_signs=True, normalize=True), _with_base, _TRIMMED, "any"),
    Case("della", Della(), _with_base, _TRIMMED, "any"),
    Case("della, added", Della(0.4, 0.2, elect_signs=False), _with_base, _TRIMMED, "any"),
    Case("breadcrumbs", Breadcrumbs(0.6, 0.2), _with_base, _TRIMMED, "any"),
    Case("breadcrumbs with elected signs", Breadcrumbs(0.6, 0.2, elect_signs=True), _with_base, _TRIMMED, "any"),
    Case("slerp", Slerp(), _checkpoints, _ALWAYS | _TASKS | _BLOCKS, pairs=True),
    Case("isotropic", PosteriorMerge(), _isotropic, _ALWAYS | _TASKS | _BLOCKS | _ABSENT),
    Case(
        "isotropic with prior",
        PosteriorMerge(),
        lambda setting: _isotropic(setting, prior=True),
        _ALWAYS | _TASKS | _BLOCKS | _BASE | _ABSENT,
        "below",
    ),
    Case("diagonal", PosteriorMerge(), _diagonal, _ALWAYS | _TASKS | _BLOCKS | _ABSENT),
    Case(
        "diagonal with prior",
        PosteriorMerge(),
        lambda setting: _diagonal(setting, prior=True),
        _ALWAYS | _TASKS | _BLOCKS | _BASE | _ABSENT,
        "below",
    ),
    Case("fisher", FisherWeighted(), _diagonal, _ALWAYS | _TASKS | _BLOCKS | _ABSENT),
    Case("dense", PosteriorMerge(), _dense, _ALWAYS | _TASKS | _ABSENT),
    Case(
        "dense with prior",
        PosteriorMerge(),
        lambda setting: _dense(setting, prior=True),
        _ALWAYS | _TASKS | _BASE | _ABSENT,
        "below",
    ),
    Case("kronecker", PosteriorMerge(), _kronecker, _ALWAYS | _TASKS | _BLOCKS | _ABSENT),
    Case(
        "kronecker, not corrected",
        PosteriorMerge(),
        lambda setting: _kronecker(setting, corrected=False),
        _ALWAYS | _TASKS | _BLOCKS | _ABSENT,
    ),
    Case(
        "kronecker with prior",
        PosteriorMerge(),
        lambda setting: _kronecker(setting, prior=True),
        _ALWAYS | _TASKS | _BLOCKS | _BASE | _ABSENT,
        "below",
    ),
    Case("low rank", PosteriorMerge(), _low_rank, _ALWAYS | _TASKS | _ABSENT),
    Case(
        "low rank with prior",
        PosteriorMerge(),
        lambda setting: _low_rank(setting, prior=True),
        _ALWAYS | _TASKS | _BASE | _ABSENT,
        "below",
    ),
    Case("subspace, whole model", PosteriorMerge(), _subspace("model"), _ALWAYS | _TASKS),
    Case("subspace, layers", PosteriorMerge(), _subspace("layer"), _ALWAYS | _TASKS),
    Case("subspace, tensors", PosteriorMerge(), _subspace("tensor"), _ALWAYS | _TASKS),
    Case("subspace, centred and singular", PosteriorMerge(), _centred, _ALWAYS),
    Case("one run, isotropic", MixtureMerge(), _alone(_isotropic), _ALWAYS | _TASKS | _BLOCKS | _ABSENT),
    Case(
        "one run, diagonal with prior",
        MixtureMerge("model"),
        _alone(lambda setting: _diagonal(setting, prior=True)),
        _ALWAYS | _TASKS | _BLOCKS | _BASE | _ABSENT,
        "below",
    ),
    Case("one run, dense", MixtureMerge(), _alone(_dense), _ALWAYS | _TASKS | _ABSENT),
    Case("one run, kronecker", MixtureMerge(), _alone(_kronecker), _ALWAYS | _TASKS | _BLOCKS | _ABSENT),
    Case("one run, subspace", MixtureMerge(), _alone(_subspace("layer")), _ALWAYS | _TASKS),
    Case("two runs, diagonal", MixtureMerge(starts=4), _two_runs(_diagonal), _ALWAYS | _BLOCKS | _ABSENT),
    Case("two runs, whole model", MixtureMerge("model", starts=2), _two_runs(_diagonal), _ALWAYS | _ABSENT),
    Case(
        "two runs, diagonal with prior",
        MixtureMerge("layer", starts=2),
        _two_runs(lambda setting: _diagonal(setting, prior=True)),
        _ALWAYS | _BASE | _ABSENT,
        "below",
    ),
    Case(
        "two runs that count alike",
        MixtureMerge(responsibilities="equal"),
        _two_runs(_diagonal),
        _ALWAYS | _BLOCKS | _ABSENT,
    ),
    Case("product of dense and diagonal", PosteriorMerge(), _product, _ALWAYS | _TASKS | _ABSENT),
)
