"""One line that makes a Hugging Face Trainer write the posterior of its finetune.

    trainer.add_callback(PosteriorCallback("squared_gradients"))

This file needs transformers; nothing else imports it before it is asked for.
"""

from __future__ import annotations

import os
import warnings
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paretomerge.checkpoints import Checkpoint, Source, open_checkpoint, save_posterior
from paretomerge.curvature.likelihoods import likelihood_of
from paretomerge.errors import MissingExtraError, ParetomergeError, RecipeError, TrainingError
from paretomerge.posteriors import Diagonal, Provenance
from paretomerge.training.ivon import Ivon
from paretomerge.training.trainer.examples import TrainerExamples, adds_micro_batches
from paretomerge.training.trainer.parameters import base_module, trained_parameters
from paretomerge.training.trainer.routes import (
    Route,
    Run,
    from_adam,
    from_fisher,
    from_ivon,
    from_squares,
    require_adam,
    require_ivon,
    require_route,
)
from paretomerge.training.trainer.squared_gradients import GradientProbe, SquaredGradients, StepSizes
from paretomerge.types import LikelihoodName

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise MissingExtraError.of("transformers", "hf") from error

FILE = "posterior.safetensors"
"""What the posterior is called beside a checkpoint."""

EXAMPLES = 1000
"""How many examples a Fisher pass takes unless it is told otherwise."""


class PosteriorCallback(TrainerCallback):
    """Writes `posterior.safetensors` when training ends.

    Args:
        route: what the precision is taken from.
            `"squared_gradients"`: the gradients of training, at one pass over the parameters per step and one float32
            number per trained parameter. `"adam"`: the second moments of the optimizer, for nothing. `"ivon"`: the
            curvature that `Ivon` learned. `"fisher"`, `"empirical_fisher"`: the diagonal Fisher matrix at the trained
            parameters, with sampled or observed labels, for about as much as training on the same examples once.
        path: of the file; `posterior.safetensors` in the trainer's output folder, where `trainer.save_model()` puts the
            model, when `None`.
        each_save: also write one beside every checkpoint that the trainer saves on the way.
        examples: of a Fisher pass, chosen at random; 1000 when `None`.
        dataset: whose examples a Fisher pass takes, put together by the trainer's collator; the training data when
            `None`.
        since: the fraction of the training after which squared gradients are collected; from its start when `None`.
        likelihood: `"categorical"`, `"tokens"`, `"causal"` or `"gaussian"`; the model's own when `None`.
        base: the base model, in any form `open_checkpoint` takes: its digest is noted in the file. When `None`, the
            folder on this machine that the model was loaded from, if it was.
        seed: of the choice of examples and of sampled labels.

    The posterior is over the trained parameters, under the names of the checkpoint; for an adapter of peft those of
    `adapter_model.safetensors`. Its precision is bare curvature, of the mean loss of one example; damping is added
    when posteriors are merged.

    Settings that cannot work are refused before training starts. Nothing that fails afterwards stops the training: a
    warning says why no posterior was written, and `failure` holds the exception.

    Raises:
        RecipeError: an unknown route, or settings that the route does not use.
        DataError: an unknown likelihood.
        CheckpointError: a base that cannot be opened.
    """

    def __init__(
        self,
        route: Route = "squared_gradients",
        *,
        path: str | os.PathLike[str] | None = None,
        each_save: bool = False,
        examples: int | None = None,
        dataset: Any = None,
        since: float | None = None,
        likelihood: LikelihoodName | None = None,
        base: Source | None = None,
        seed: int = 0,
    ) -> None:
        """Check the settings."""
        require_route(route, {"examples": examples, "dataset": dataset, "since": since})
        if since is not None and not 0 <= since < 1:
            raise RecipeError(
                f"since is the fraction of the training to leave out, at least 0 and below 1; got {since}"
            )
        if examples is not None and examples < 1:
            raise RecipeError(f"examples must be at least 1, got {examples}")
        if path is not None and Path(path).suffix != ".safetensors":
            raise RecipeError(f"path={str(path)!r} must be the file to write, with the suffix .safetensors")
        if likelihood is not None:
            likelihood_of(likelihood)
        self.route: Route = route
        self.path = None if path is None else Path(path).expanduser()
        self.each_save = each_save
        self.examples = EXAMPLES if examples is None else examples
        self.dataset = dataset
        self.since = since or 0.0
        self.likelihood = likelihood
        self.base = None if base is None else open_checkpoint(base)
        self.seed = seed
        self.written: Path | None = None
        self.failure: Exception | None = None
        self._squares: SquaredGradients | None = None
        self._probe: GradientProbe | None = None
        self._sizes = StepSizes(1)
        self._adds = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Refuse what cannot work, and get ready."""
        self.failure = self.written = None
        model, optimizer = given["model"], _inner(given["optimizer"])
        parameters = trained_parameters(model)
        _require_whole(args, self.route)
        if self.route == "ivon":
            require_ivon(optimizer)
        if self.route == "adam":
            require_adam(optimizer)
        if self.base is None:
            self.base = _loaded_from(model, args.output_dir)
        if self.route == "squared_gradients" and isinstance(optimizer, Ivon):
            raise TrainingError("IVON keeps the gradients to itself: choose route='ivon', which costs nothing")
        loader = given["train_dataloader"]
        self._sizes = _sizes_of(args, state, loader)
        self._adds = self._sizes.accumulated > 1 and self._adds_micro_batches(args, model, loader)
        if self.route == "squared_gradients":
            self._squares = SquaredGradients(parameters)
            if (args.max_grad_norm or 0) > 0 or _scaler(given["optimizer"]) is not None:
                self._probe = GradientProbe(parameters)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Add the squared gradients of this step."""
        if self._squares is None:
            return
        divisor = 1.0
        if self._probe is not None:
            scaler = _scaler(given["optimizer"])
            divisor = self._probe.factor() * (1.0 if scaler is None else scaler.get_scale())
        if state.global_step < self.since * state.max_steps:
            return
        examples, micro_batches = self._sizes.of_step(state.global_step)
        self._squares.add(examples, divisor * (micro_batches if self._adds else 1))

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Write beside the checkpoint that was just saved."""
        if self.each_save:
            self._try_to_write(Path(args.output_dir) / f"checkpoint-{state.global_step}" / FILE, args, state, given)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Write the posterior of the finetune."""
        if self._probe is not None:
            self._probe.remove()
            self._probe = None
        self._try_to_write(self.path or Path(args.output_dir) / FILE, args, state, given)
        self._squares = None

    def _try_to_write(self, path: Path, args: Any, state: Any, given: dict[str, Any]) -> None:
        if not state.is_world_process_zero:
            return
        try:
            model = given["model"]
            run = Run(
                model=model,
                optimizer=_inner(given["optimizer"]),
                examples=TrainerExamples.of(given["train_dataloader"], model, args, self.dataset),
                step_examples=self._sizes.batch * self._sizes.accumulated,
                divisor=self._sizes.accumulated if self._adds else 1.0,
                clipped=(args.max_grad_norm or 0) > 0,
                likelihood=self.likelihood,
                seed=self.seed,
            )
            with _own_randomness(run.examples.device):
                posterior, said = self._measure(run)
            if self.base is not None:
                name = self.base.address or (self.base.source.name if self.base.source is not None else "")
                said = replace(said, base=self.base.digest, base_name=name)
            self.written = save_posterior(path, posterior.map_params(_on_cpu), said)
        # Training may have taken days: whatever happens here, its result stays.
        except Exception as error:
            self.failure = error
            warnings.warn(f"no posterior was written to {path}: {error} ({type(error).__name__})", stacklevel=2)

    def _measure(self, run: Run) -> tuple[Diagonal, Provenance]:
        if self._squares is not None:
            return from_squares(run, self._squares)
        if self.route == "adam":
            return from_adam(run)
        if self.route == "ivon":
            return from_ivon(run)
        return from_fisher(run, self.route == "empirical_fisher", self.examples)

    def _adds_micro_batches(self, args: Any, model: nn.Module, loader: Any) -> bool:
        try:
            examples = TrainerExamples.of(loader, model, args)
            with _own_randomness(examples.device):
                return adds_micro_batches(model, next(examples.collated(2, self.seed)))
        except Exception as error:
            warnings.warn(
                "whether accumulated gradients are averaged or added could not be seen, so they are taken for "
                f"averaged; if they are not, the precision is {self._sizes.accumulated}² times too large: {error}",
                stacklevel=2,
            )
            return False


def _sizes_of(args: Any, state: Any, loader: Any) -> StepSizes:
    batch = int(state.train_batch_size or args.train_batch_size) * args.world_size
    try:
        return StepSizes(batch, args.gradient_accumulation_steps, len(loader), len(loader.dataset))
    except TypeError:  # data without a known length
        return StepSizes(batch, args.gradient_accumulation_steps)


def _loaded_from(model: nn.Module, output: str) -> Checkpoint | None:
    """The folder that a model says it was loaded from; `None` for none, and where the finetune will overwrite it."""
    folder = Path(str(getattr(base_module(model), "name_or_path", "") or "."))
    if not (folder / "config.json").is_file() or folder.resolve() == Path(output).resolve():
        return None
    try:
        return open_checkpoint(folder)
    except ParetomergeError:
        return None  # nothing was asked for, so nothing is amiss


def _require_whole(args: Any, route: str) -> None:
    """Refuse parameters that are in pieces on several machines."""
    sharded = "DeepSpeed" if getattr(args, "deepspeed", None) else "FSDP" if getattr(args, "fsdp", None) else None
    if sharded:
        raise TrainingError(
            f"{sharded} keeps parameters and gradients in pieces, which route={route!r} cannot put together: save the "
            "model, load it whole, and fit its posterior afterwards"
        )


def _inner(optimizer: Any) -> Any:
    """The optimizer without accelerate's wrapper."""
    while optimizer is not None and not isinstance(optimizer, Ivon) and hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer


def _scaler(optimizer: Any) -> Any:
    scaler = getattr(optimizer, "scaler", None)
    return scaler if scaler is not None and scaler.is_enabled() else None


def _own_randomness(device: torch.device) -> AbstractContextManager[None]:
    """Random choices inside do not change what the training draws next."""
    return torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type)


def _on_cpu(params: Any) -> Any:
    return {name: tensor.cpu() for name, tensor in params.items()}
