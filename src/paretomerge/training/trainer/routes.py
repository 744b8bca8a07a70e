"""What a callback can write a posterior from, and what it must know about the run for that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn
from torch.optim import Optimizer

from paretomerge.curvature import LossModel, diagonal_fisher
from paretomerge.curvature.adam import adam_posterior
from paretomerge.curvature.likelihoods import likelihood_of
from paretomerge.errors import RecipeError, TrainingError, nearest
from paretomerge.posteriors import Diagonal, Provenance
from paretomerge.training.ivon import Ivon
from paretomerge.training.trainer.examples import TrainerExamples, likelihood_name
from paretomerge.training.trainer.parameters import bare_module, evaluating, trained_parameters
from paretomerge.training.trainer.squared_gradients import SquaredGradients
from paretomerge.types import LikelihoodName

Route = Literal["squared_gradients", "adam", "ivon", "fisher", "empirical_fisher"]

USED: dict[str, tuple[str, ...]] = {
    "squared_gradients": ("since",),
    "fisher": ("examples", "dataset"),
    "empirical_fisher": ("examples", "dataset"),
}
"""The settings that only some routes use."""

COUNTED_EXAMPLES = 256
"""How many examples are looked at to find out how many labels one has."""


@dataclass(frozen=True)
class Run:
    """A training at the moment its posterior is made.

    Args:
        model: the trainer's.
        optimizer: the trainer's, without accelerate's wrapper.
        examples: its data.
        step_examples: in a full optimizer step.
        divisor: what its gradients are multiplied by, compared with the mean over a step.
        clipped: whether they are clipped.
        likelihood: `None`: the model's own.
        seed: of the choice of examples and of sampled labels.
    """

    model: nn.Module
    optimizer: Optimizer | None
    examples: TrainerExamples
    step_examples: int
    divisor: float = 1.0
    clipped: bool = False
    likelihood: LikelihoodName | None = None
    seed: int = 0

    @property
    def likelihood_name(self) -> LikelihoodName:
        """The likelihood given, or the model's own."""
        return self.likelihood or likelihood_name(self.model)

    def labels_per_example(self) -> float:
        """Labels of one example on average: 1 for classifiers; for language models counted on some examples."""
        if self.likelihood_name in ("categorical", "gaussian"):
            return 1.0
        likelihood, found = likelihood_of(self.likelihood_name), []
        for _, targets in self.examples.batches(COUNTED_EXAMPLES, self.seed):
            found.append(likelihood.label_counts(targets).double())
        return float(torch.cat(found).mean())


def from_squares(run: Run, squares: SquaredGradients) -> tuple[Diagonal, Provenance]:
    """From the squared gradients that were added up during training."""
    if not squares.steps:
        raise TrainingError("no squared gradients were seen: no step was taken, or every one overflowed")
    parameters = trained_parameters(run.model)
    mean = {name: parameter.detach() for name, parameter in parameters.items()}
    labels = run.labels_per_example()
    said = Provenance(
        "squared gradients",
        "trajectory",
        examples=squares.examples,
        scale="labels of a step × squared gradient of its mean loss, averaged over steps: about the empirical Fisher "
        "matrix of the mean loss of one example, plus the squared mean gradient",
        settings=f"steps={squares.steps}, labels per example={labels:g}",
    )
    return Diagonal(mean, squares.precision(labels)), said


def from_adam(run: Run) -> tuple[Diagonal, Provenance]:
    """From the second moments that the optimizer holds."""
    optimizer = run.optimizer
    if optimizer is None:
        raise TrainingError("the trainer has no optimizer yet: the posterior of one is written in the training itself")
    names = {id(parameter): name for name, parameter in trained_parameters(run.model).items()}
    groups = [
        {names.get(id(tensor), f"unnamed {number}"): tensor for number, tensor in enumerate(group["params"])}
        for group in optimizer.param_groups
    ]
    labels = run.labels_per_example() * run.step_examples
    posterior = adam_posterior(optimizer.state_dict(), groups, batch_size=labels / run.divisor**2)
    said = Provenance(
        "adam",
        "trajectory",
        # Clipping has scaled every step by a factor of its own, which nothing can undo.
        units="relative" if run.clipped else "mean",
        scale="labels of a step × Adam's second moment of the gradient of its mean loss: about the empirical Fisher "
        "matrix of the mean loss of one example, plus the squared mean gradient"
        + (", after gradient clipping, which loses the scale" if run.clipped else ""),
        settings=f"optimizer={type(optimizer).__name__}, labels per step={labels:g}",
    )
    return posterior, said


def from_ivon(run: Run) -> tuple[Diagonal, Provenance]:
    """From the curvature that IVON has learned."""
    optimizer = require_ivon(run.optimizer)
    posterior = optimizer.posterior(trained_parameters(run.model).items())
    precision = {name: posterior.precision[name] / run.divisor for name in posterior.blocks()}
    settings = {key: value for key, value in optimizer.defaults.items() if key not in ("draws", "params")}
    said = Provenance("ivon", "trajectory", settings=", ".join(f"{key}={value}" for key, value in settings.items()))
    return Diagonal(posterior.mean, precision), said


def from_fisher(run: Run, empirical: bool, count: int | None) -> tuple[Diagonal, Provenance]:
    """From a pass over some examples with the trained model."""
    module = bare_module(run.model)
    with evaluating(module):
        model = LossModel.of(module, run.likelihood_name)
        names = {id(parameter): name for name, parameter in trained_parameters(module).items()}
        state = dict(module.named_parameters()) | dict(module.named_buffers())
        generator = torch.Generator(run.examples.device).manual_seed(run.seed)
        batches = run.examples.batches(count, run.seed)
        found = diagonal_fisher(model, state, batches, "empirical" if empirical else "true", generator=generator)
    mean = {names[id(state[name])]: state[name].detach() for name in model.trainable}
    precision = {names[id(state[name])]: found.diagonal[name] for name in model.trainable}
    said = Provenance(
        "empirical fisher" if empirical else "true fisher",
        "finetune",
        examples=found.examples,
        settings=f"likelihood={run.likelihood_name}, loss={found.loss:.6g}, seed={run.seed}",
    )
    return Diagonal(mean, precision), said


def require_route(route: str, given: Mapping[str, object]) -> None:
    """Raise `RecipeError` for an unknown route, and for settings given that it does not use."""
    known = get_args(Route)
    if route not in known:
        raise RecipeError(f"route={route!r} is unknown{nearest(route, known)}: one of {', '.join(known)}")
    for name, value in given.items():
        if value is not None and name not in USED.get(route, ()):
            raise RecipeError(f"route={route!r} makes no use of {name}: leave it out, or choose another route")


def require_adam(optimizer: Optimizer | None) -> None:
    """Raise `TrainingError` for an optimizer that keeps no second moments, before it trains for days."""
    if optimizer is not None and (isinstance(optimizer, Ivon) or "betas" not in optimizer.defaults):
        raise TrainingError(
            f"route='adam' takes the second moments of Adam, and {type(optimizer).__name__} keeps none: train with "
            "optim='adamw_torch', or choose another route"
        )


def require_ivon(optimizer: Optimizer | None) -> Ivon:
    """The optimizer, if it is `Ivon`."""
    if not isinstance(optimizer, Ivon):
        raise TrainingError(
            f"route='ivon' needs the optimizer Ivon, and this run has {type(optimizer).__name__}: give the Trainer "
            "optimizers=(Ivon(model.named_parameters(), ...), None), or choose another route"
        )
    return optimizer
