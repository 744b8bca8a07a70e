"""IVON: a variational optimizer. It trains the mean and, from the same gradients, the curvature of a Gaussian.

    minimise over m, σ:   λ E_q[ℓ(θ)] + KL(q ‖ p)        q = N(m, diag σ²),   p = N(m0, 1/(λδ))

`ℓ` is the mean loss per example, `λ` the effective sample size `ess`, `δ` the weight decay, which pulls to the prior
mean `m0`: where training started (the base model), or zero as in the paper. The one idea it needs is Stein's identity
`E_q[∇²ℓ]_ii = E_q[∇ℓ_i (θ_i - m_i)] / σ_i²`: ordinary gradients, taken at noisy parameters, measure curvature.

Shen, Daheim, Cong, Nickl, Marconi, Bazan, Yokota, Gurevych, Cremers, Khan, Möllenhoff, 2024, Variational Learning is
Effective for Large Deep Networks (arXiv 2402.17641), Algorithm 1. Written from the paper.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from paretomerge.errors import RecipeError, TrainingError
from paretomerge.posteriors import Diagonal
from paretomerge.training.ivon_settings import require_group
from paretomerge.training.ivon_step import (
    PriorMean,
    counted_generator,
    draw_noise,
    first_state,
    require_finite,
    require_learned,
    take_step,
)
from paretomerge.types import compute_dtype


class Ivon(Optimizer):
    """Improved variational online Newton. One step, with gradients `g` at `θ = m + σε`:

        ĝ, ĥ     means of g and of g(θ-m)/σ² over the step's samples
        g  ←  β1 g + (1-β1) ĝ
        h  ←  β2 h + (1-β2) ĥ + ½(1-β2)² (h-ĥ)²/(h+δ)            h + δ stays positive
        m  ←  m - lr (g/(1-β1^t) + δ(m-m0)) / (h+δ)
        σ  =  1/√(λ(h+δ))

    Every forward and backward pass of a training step runs inside `sampled_params`; several of them, each with a draw
    of its own, are averaged. Outside, the parameters are the mean `m`:

        optimizer = Ivon(model.named_parameters(), lr=0.1, ess=len(training_set))
        for inputs, targets in batches:
            with optimizer.sampled_params():
                loss(model(inputs), targets).backward()
            optimizer.step()
        posterior = optimizer.posterior(model.named_parameters())

    Units: the loss must be a mean over examples. Then `h` is the mean curvature per example, and the precision of
    the trained Gaussian is `ess·(h+δ)`.

    State per parameter: `momentum`, `hessian`, `prior_mean` (none for a zero prior), and `mean` for parameters in
    less than float32, whose small updates would be rounded away. All are float32, or float64 for float64
    parameters; a step needs the room of four more copies for a moment. Noise comes from the optimizer's own `seed`
    and a counter that is saved with the state: a resumed run goes on exactly, and the processes of a data-parallel
    run share their noise, as IVON needs where gradients are averaged in every backward pass (without `no_sync`).

    `maximize` is not offered (negate the loss). Loss scaling (float16 autocast) is not supported; bfloat16 is.

    Args:
        params: as for every torch optimizer; a group may have settings of its own. Frozen parameters are left alone.
        lr: with `rescale_lr` on the scale of SGD; else of Newton's method, where 1 is a full step.
        ess: effective sample size `λ`: the number of training examples; more makes the posterior narrower.
        hess_init: `h` before the first step. The noise of the first steps is `1/√(ess (hess_init + weight_decay))`.
        betas: `β1` of the gradient, `β2` of the curvature, which is averaged over about `1/(1-β2)` steps.
        weight_decay: `δ`; the prior has the precision `ess·δ`.
        prior_mean: `m0`: the parameters at the first step, zero, or parameters by name, for which the optimizer must
            know names: `Ivon(model.named_parameters(), ...)`.
        clip_radius: entries of the preconditioned gradient (what `lr` multiplies) are clipped to this size.
        rescale_lr: multiply `lr` by `hess_init + weight_decay`, so that the first step is one of SGD.
        seed: of the noise.

    Raises:
        RecipeError: settings outside their domain.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        *,
        ess: float,
        hess_init: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.99999),
        weight_decay: float = 1e-4,
        prior_mean: PriorMean = "start",
        clip_radius: float | None = None,
        rescale_lr: bool = True,
        seed: int = 0,
    ) -> None:
        """Check the settings of every group."""
        if isinstance(prior_mean, str) and prior_mean not in ("start", "zero"):
            raise RecipeError(f"prior_mean={prior_mean!r} is unknown: 'start', 'zero', or parameters by name")
        self._prior_mean = prior_mean
        self._displacements: dict[Tensor, Tensor] | None = None
        self._gathered: dict[Tensor, tuple[Tensor, Tensor]] = {}
        self._shares: list[float | None] = []
        defaults = {
            "lr": lr,
            "ess": ess,
            "hess_init": hess_init,
            "betas": betas,
            "weight_decay": weight_decay,
            "clip_radius": clip_radius,
            "rescale_lr": rescale_lr,
            "seed": seed,
            "draws": 0,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As for every torch optimizer, with the settings checked."""
        super().add_param_group(param_group)
        require_group(self.param_groups[-1])

    @contextmanager
    def sampled_params(self, generator: torch.Generator | None = None, share: float | None = None) -> Iterator[None]:
        """Inside, the parameters are one draw `θ ~ N(m, σ²)`; backward passes count for the next `step`.

        Without a backward pass nothing is kept: the same context serves to predict with sampled models. Gradients
        are taken over at the end, and `.grad` is empty afterwards.

        Args:
            generator: of the noise, on the device of the parameters; the optimizer's own by default.
            share: what the gradient counts for. By default the samples of a step are averaged. Where a step's loss
                is divided already, as in gradient accumulation, each part counts for 1.

        Raises:
            TrainingError: the context is open already, or there are gradients of an earlier backward pass.
        """
        if self._displacements is not None:
            raise TrainingError("the parameters are sampled already: leave `sampled_params` before entering it again")
        if self._shares and (self._shares[0] is None) != (share is None):
            raise TrainingError("either all samples of a step have a share, or none")
        self._refuse_foreign_gradients()
        means = {parameter: parameter.detach().clone() for parameter in self._trained()}
        self._displacements = {}
        try:
            self._displace(generator)
            yield
            self._gather(share)
        finally:
            self._displacements = None
            with torch.no_grad():
                for parameter, mean in means.items():
                    parameter.copy_(mean)
                    parameter.grad = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update mean and curvature from the samples gathered since the last step.

        Args:
            closure: runs the model, calls `backward` and returns the loss; it is called once, inside
                `sampled_params`.

        Raises:
            TrainingError: nothing was sampled, a gradient was taken outside `sampled_params`, or is not finite.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad(), self.sampled_params():
                loss = closure()
        if self._displacements is not None:
            raise TrainingError("step was called inside `sampled_params`: leave it first")
        self._refuse_foreign_gradients()
        if not self._shares:
            raise TrainingError(
                "IVON has no sampled gradients: run forward and backward passes inside "
                "`with optimizer.sampled_params():`, then call step()"
            )
        gathered, shares = self._gathered, self._shares
        self._gathered, self._shares = {}, []
        require_finite(gathered, self.state, self.param_groups[0])
        scale = 1 / len(shares) if shares[0] is None else 1.0
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter in gathered:
                        gradient, product = gathered[parameter]
                        take_step(parameter, self.state[parameter], group, gradient.mul_(scale), product.mul_(scale))
        return loss

    def posterior(self, named_parameters: Iterable[tuple[str, Tensor]]) -> Diagonal:
        """`N(m, 1/h)` with the bare curvature `h`: the mean per example, averaged over the run, without the prior.

        The precision of the Gaussian that was trained is `ess·(h+δ)`; here `δ` is left out, so that damping and
        priors are added once, when merging. Entries that the noise of the estimate left below zero are zero. So is
        the curvature of tensors that the optimizer never stepped (frozen, unused, buffers).

        `h` lies above the curvature: in equilibrium the quadratic term adds `½(1-β2) Var(ĥ)/(h+δ)`, which for batches
        of `B` examples is about `½(1-β2) ess/B` times the empirical Fisher matrix. Where that factor is above 1 (short
        runs, cold posteriors), `h` is mostly an average of squared gradients: of the right shape, but too large.
        Tasks that are merged should therefore share `ess`, `β2` and `B`. A warning says where most of `h` is still
        `hess_init`.

        Args:
            named_parameters: what the posterior is over, such as `model.named_parameters()`, or
                `model.state_dict(keep_vars=True).items()` to have buffers and tied names too.

        Raises:
            TrainingError: inside `sampled_params`, or the optimizer took no step on any of these parameters.
            PosteriorError: parameters or curvature are not finite.
        """
        if self._displacements is not None:
            raise TrainingError("inside `sampled_params` the parameters are no mean: leave it first")
        mean, precision = {}, {}
        named = list(named_parameters)
        self.require_learned(parameter for _, parameter in named)
        for name, parameter in named:
            mean[name], learned = self.learned(parameter)
            if learned is not None:
                precision[name] = learned
        return Diagonal(mean, precision)

    def learned(self, parameter: Tensor) -> tuple[Tensor, Tensor | None]:
        """`m` and the bare `h` of one tensor, copies, sharded as it is; no curvature of integers."""
        mean = parameter.detach().clone()
        if not parameter.is_floating_point():
            return mean, None
        state = self.state.get(parameter, {})
        if state.get("step", 0):
            return mean, state["hessian"].clamp(min=0)
        return mean, torch.zeros_like(mean, dtype=compute_dtype([parameter.dtype]))

    def require_learned(self, parameters: Iterable[Tensor]) -> None:
        """Raise `TrainingError` where no step was taken; warn where most of `h` is what it was at the start."""
        steps = max((int(self.state.get(parameter, {}).get("step", 0)) for parameter in parameters), default=0)
        require_learned(steps, max(group["betas"][1] for group in self.param_groups))

    def state_dict(self) -> dict[str, Any]:
        """As for every torch optimizer; between steps."""
        if self._displacements is not None or self._shares:
            raise TrainingError("save IVON's state between steps: sampled gradients wait for step()")
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As for every torch optimizer."""
        super().load_state_dict(state_dict)
        # torch casts state to the parameter's dtype, which would round the state of bfloat16 parameters.
        saved = itertools.chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        own = itertools.chain.from_iterable(group["params"] for group in self.param_groups)
        for number, parameter in zip(saved, own, strict=True):
            for key, value in state_dict["state"].get(number, {}).items():
                if isinstance(value, Tensor):
                    dtype = compute_dtype([parameter.dtype])
                    self.state[parameter][key] = value.to(parameter.device, dtype, copy=True)

    def _trained(self) -> Iterator[Tensor]:
        return (parameter for group in self.param_groups for parameter in group["params"] if parameter.requires_grad)

    def _displace(self, generator: torch.Generator | None) -> None:
        """Add noise to every parameter, and remember it."""
        assert self._displacements is not None
        for number, group in enumerate(self.param_groups):
            own: dict[torch.device, torch.Generator] = {}
            for parameter in group["params"]:
                if not parameter.requires_grad:
                    continue
                source = generator or own.get(parameter.device)
                if source is None:
                    source = own[parameter.device] = counted_generator(group, number, parameter.device)
                # Made now and not earlier: models move between devices before the first step.
                state = self.state[parameter]
                if not state:
                    state.update(first_state(parameter, group, self._prior_mean))
                noise = draw_noise(state["hessian"], group, source)
                with torch.no_grad():
                    parameter.copy_(state.get("mean", parameter) + noise)
                self._displacements[parameter] = noise
            group["draws"] += 1

    def _gather(self, share: float | None) -> None:
        """Take the gradients over: add them, and their products with the noise, to the step's sums."""
        assert self._displacements is not None
        reached = [parameter for parameter in self._displacements if parameter.grad is not None]
        for parameter in reached:
            noise = self._displacements[parameter]
            assert parameter.grad is not None
            if parameter.grad.is_sparse:
                raise TrainingError("IVON needs dense gradients: build the embedding with sparse=False")
            gradient = parameter.grad.to(noise.dtype) * (1.0 if share is None else share)
            product = noise.mul_(gradient)
            if parameter in self._gathered:
                gradient += self._gathered[parameter][0]
                product += self._gathered[parameter][1]
            self._gathered[parameter] = gradient, product
        if reached:
            self._shares.append(share)

    def _refuse_foreign_gradients(self) -> None:
        if any(parameter.grad is not None for parameter in self._trained()):
            raise TrainingError(
                "there is a gradient that was not taken inside `sampled_params`: IVON learns from gradients at sampled "
                "parameters only. Move the backward pass inside, or call zero_grad() if it belongs to something else"
            )
