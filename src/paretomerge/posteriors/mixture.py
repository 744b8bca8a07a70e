"""Mixture of Gaussians of one family, for several runs or checkpoints of a task: `q = Σ_k π_k N(m_k, H_k^-1)`.

It has a density, a mean and samples as every posterior, but no natural parameters: it is not Gaussian, and adding does
not merge it. The rule `mixture` does, by expectation-maximisation; `soup` is the control every such merge is held
against.

Shapes: `T` tasks, `R` components of a task, `K` weightings.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.posteriors.base import Posterior
from paretomerge.posteriors.isotropic import Isotropic
from paretomerge.posteriors.product import Product
from paretomerge.posteriors.subspace import Subspace
from paretomerge.types import Params, TensorSpec, Weights, spec_of


@dataclass(frozen=True, eq=False)
class Mixture:
    """`Σ_k π_k N(m_k, H_k^-1)`.

    Of the laws of `Posterior` it obeys that samples have mean `mean`, and `energy` is minus `log_density`. Two it
    cannot obey: there is no `natural`, and `mean`, which lies between the modes, is not where `energy` is lowest.

    Unlike a Gaussian merge, that of mixtures depends on the scale of the precisions: `N` times the curvature of one
    example makes components `N` times as far apart. Bare curvature is damped first (`damp`).

    Args:
        components: Gaussians of one family over the same parameters.
        log_weights: `log π_k`, up to a constant; equal when `None`.

    Raises:
        PosteriorError: no components, components that do not fit each other, weights that are not finite.

    >>> runs = [Isotropic({"w": torch.tensor([0.0])}), Isotropic({"w": torch.tensor([2.0])})]
    >>> Mixture(runs).mean["w"]
    tensor([1.])
    """

    components: Sequence[Posterior]
    log_weights: Tensor | Sequence[float] | None = None

    family: ClassVar[str] = "mixture"

    def __post_init__(self) -> None:
        """Check the components, and normalise the weights."""
        components = tuple(self.components)
        if not components:
            raise PosteriorError("a mixture needs at least one component")
        for component in components:
            if component.family == self.family:
                raise PosteriorError("a component is a mixture itself: list its components instead")
            components[0].require_same_kind(component)
        given = [0.0] * len(components) if self.log_weights is None else self.log_weights
        logs = torch.as_tensor(given, dtype=torch.float64)
        if tuple(logs.shape) != (len(components),):
            raise PosteriorError(f"{len(components)} components but log_weights of shape {list(logs.shape)}")
        if not bool(torch.isfinite(logs).all()):
            raise PosteriorError(
                f"the log weights are {logs.tolist()}: they must be finite. Leave out a component that has no weight"
            )
        object.__setattr__(self, "components", components)
        # Weights that are normalised stay as they are to the last digit, and so does the digest.
        normalised = abs(float(torch.logsumexp(logs, 0))) < 1e-14
        object.__setattr__(self, "log_weights", logs.clone() if normalised else torch.log_softmax(logs, 0))

    @classmethod
    def of_runs(cls, runs: Sequence[Posterior | Params], weights: Sequence[float] | None = None) -> Mixture:
        """The posteriors of several runs of one task; a checkpoint alone counts as an isotropic one.

        Args:
            runs: one posterior per run.
            weights: `π_k > 0`, up to a factor; equal when `None`.

        Raises:
            PosteriorError: as the class, or weights that are not positive.
        """
        if isinstance(runs, Mapping) or hasattr(type(runs), "natural"):
            raise PosteriorError("give a list of runs, one posterior (or checkpoint) each")
        if weights is not None and not all(math.isfinite(weight) and weight > 0 for weight in weights):
            raise PosteriorError(f"the weights of the runs must be positive, got {list(weights)}")
        members = [Isotropic(run) if isinstance(run, Mapping) else run for run in runs]
        return cls(members, None if weights is None else [math.log(weight) for weight in weights])

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Shapes and dtypes of the parameters."""
        return self.components[0].specs

    @property
    def mean(self) -> Params:
        """`Σ_k π_k m_k`, tensor by tensor when it is asked for."""
        return _MixedMeans(tuple(component.mean for component in self.components), self._shares)

    @property
    def _logs(self) -> Tensor:
        assert isinstance(self.log_weights, Tensor)
        return self.log_weights

    @property
    def _shares(self) -> list[float]:
        return self._logs.exp().tolist()

    def blocks(self) -> tuple[str, ...]:
        """Those of the components."""
        return self.components[0].blocks()

    def natural(self, block: str) -> Any:
        """A mixture has no natural parameters.

        Raises:
            PosteriorError: always.
        """
        raise PosteriorError(
            "a mixture is no Gaussian, so it has no natural parameters that could be added: merge it with the rule "
            "mixture (MixtureMerge), or merge the soup of its components"
        )

    def names(self, block: str) -> tuple[str, ...]:
        """As the components say."""
        return self.components[0].names(block)

    def expand(self, block: str, solution: Tensor, out: Mapping[str, Tensor]) -> Iterator[str]:
        """As the components do: their coordinates are the same."""
        return self.components[0].expand(block, solution, out)

    def restrict(self, block: str, gradient: Params) -> Any:
        """As the components do."""
        return self.components[0].restrict(block, gradient)

    def displacement(self, block: str, step: Any) -> dict[str, Tensor]:
        """As the components do."""
        return self.components[0].displacement(block, step)

    def map_params(self, view: Callable[[Params], Params]) -> Mixture:
        """Each component by itself."""
        return Mixture([component.map_params(view) for component in self.components], self.log_weights)

    def require_same_kind(self, other: Posterior) -> None:
        """A mixture of the same kind of components, of any number, or one such Gaussian (a prior, a single run)."""
        first = other.components[0] if isinstance(other, Mixture) else other
        self.components[0].require_same_kind(first)

    def energy(self, params: Params) -> float:
        """`-log q(θ)`."""
        return -self.log_density(params)

    def log_density(self, params: Params) -> float:
        """`log Σ_k π_k N(θ; m_k, H_k^-1)`."""
        logs = torch.tensor([component.log_density(params) for component in self.components], dtype=torch.float64)
        return float(torch.logsumexp(self._logs + logs, 0))

    def sample(self, generator: torch.Generator) -> dict[str, Tensor]:
        """A draw from one component, which is drawn first."""
        chosen = int(torch.multinomial(self._logs.exp(), 1, generator=generator))
        return self.components[chosen].sample(generator)

    @property
    def digest(self) -> str:
        """From the components and their weights."""
        pairs = zip(self._logs.tolist(), self.components, strict=True)
        parts = "|".join(f"{weight!r}={component.digest}" for weight, component in pairs)
        return hashlib.sha256(f"{self.family}|{parts}".encode()).hexdigest()


def components_of(posterior: Posterior) -> tuple[tuple[Posterior, ...], Tensor]:
    """Components and `log π [R]`; a Gaussian is its only component."""
    if isinstance(posterior, Mixture):
        return tuple(posterior.components), posterior._logs
    return (posterior,), torch.zeros(1, dtype=torch.float64)


def without_lending(posterior: Posterior) -> Posterior:
    """The same posterior, its ridges counting alike at any weights.

    What is lent in proportion to a task's weight (`lending.py`) is no sum over Gaussians, and what several runs of one
    task lend would count several times: mixtures leave it out.
    """
    if isinstance(posterior, Product):
        return Product({part: without_lending(inner) for part, inner in posterior.parts.items()})
    if isinstance(posterior, Subspace) and posterior.lent is not None:
        return Subspace(posterior.origin, posterior.basis, posterior.precision, posterior.precision_mean)
    return posterior


def soup(mixtures: Mapping[str, Posterior], weights: Any) -> tuple[dict[str, Posterior], np.ndarray]:
    """The control: every run of a task counts alike, whatever `π` and wherever the merge lands.

    It is the ordinary merge of `Π_t (Π_k q_tk)^(α_t/R_t)`, so of all runs as tasks of their own with the weights
    `α_t/R_t`: what it returns is given to `merge`.

    Args:
        mixtures: task → mixture, or a single Gaussian.
        weights: `α`, as `merge` takes them.

    Returns:
        `task#k` → component, and the weights `[..., Σ_t R_t]` in that order.

    Raises:
        WeightsError: weights for other tasks, or negative ones.
    """
    members: dict[str, Posterior] = {}
    owners, counts = [], []
    for number, (task, mixture) in enumerate(mixtures.items()):
        components, _ = components_of(mixture)
        members |= {f"{task}#{k}": without_lending(component) for k, component in enumerate(components)}
        owners += [number] * len(components)
        counts += [len(components)] * len(components)
    values = Weights.of(weights, tuple(mixtures), on_simplex=False).values
    return members, values[..., owners] / np.array(counts)


@dataclass(frozen=True, eq=False)
class _MixedMeans(Mapping[str, Tensor]):
    """`Σ_k π_k m_k` as parameters that are computed when they are read; nothing the size of a model is kept."""

    means: tuple[Params, ...]
    shares: Sequence[float]

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype, without reading."""
        return spec_of(self.means[0], name)

    def __getitem__(self, name: str) -> Tensor:
        first = self.means[0][name]
        if not first.is_floating_point():
            return first
        total = torch.zeros_like(first, dtype=torch.float64)
        for share, mean in zip(self.shares, self.means, strict=True):
            total.add_(mean[name], alpha=share)
        return total.to(first.dtype)

    def __contains__(self, name: object) -> bool:
        return name in self.means[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self.means[0])

    def __len__(self) -> int:
        return len(self.means[0])
