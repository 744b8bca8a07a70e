"""What every merge rule is, and what it starts from.

A rule is a frozen dataclass of its settings. `prepare` reads what it needs once; `merge_block` is then called for
every block and computes all `K` weightings in one pass over its inputs. The laws every rule claims are in
`paretomerge.testing.laws`.

Shapes: `T` tasks, `K` weightings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from paretomerge.errors import AlignmentError, PosteriorError, WeightsError
from paretomerge.merging.tally import Tally
from paretomerge.posteriors import Isotropic, Posterior
from paretomerge.types import Params, TensorSpec, compute_dtype, spec_of

Domain = Literal["weights", "coefficients"]

Outputs = Mapping[str, Tensor]
"""Where a merge writes: name → `[K, *shape]`, of any floating-point dtype, to be overwritten."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a merge starts from, checked: posteriors in task order, the prior, and the base model.

    `specs` are the tensors of the merged model in their order, with the dtypes they are written in. `accumulate` is
    the dtype of sums; `None` means float64 where an input is float64, else float32. `tally` counts what a user should
    know of, such as elements without any precision.
    """

    tasks: tuple[str, ...]
    posteriors: tuple[Posterior, ...]
    prior: Posterior | None
    base: Params | None
    specs: Mapping[str, TensorSpec]
    accumulate: torch.dtype | None = None
    tally: Tally = field(default_factory=Tally)

    @cached_property
    def means(self) -> tuple[Params, ...]:
        """`θ_t` for every task; families that have to solve for theirs do it once."""
        return tuple(posterior.mean for posterior in self.posteriors)

    @property
    def filler(self) -> Params:
        """Where tensors come from that no posterior covers, and those that are only copied."""
        return self.base if self.base is not None else self.means[0]

    @property
    def origin(self) -> Params:
        """The base model, of which task vectors are differences: given as such, or as the mean of the prior.

        Raises:
            WeightsError: neither was given.
        """
        if self.base is not None:
            return self.base
        if self.prior is not None:
            return self.prior.mean
        raise WeightsError("this rule adds task vectors to the base model: give `base`")

    def sum_dtype(self, tensors: Iterable[Tensor | TensorSpec]) -> torch.dtype:
        """The dtype in which `tensors`, or what their specs say, are added up."""
        return self.accumulate or compute_dtype(tensor.dtype for tensor in tensors)

    @cached_property
    def params(self) -> tuple[Params, ...]:
        """Every large set of tensors that is an input, once each."""
        found: list[Params] = []

        def note(params: Params) -> Params:
            found.append(params)
            return params

        self.map_params(note)
        return tuple(found)

    def map_params(self, view: Callable[[Params], Params]) -> Inputs:
        """The same inputs with every large set of tensors replaced by `view` of it, once for each set."""
        seen: dict[int, tuple[Params, Params]] = {}

        def once(params: Params) -> Params:
            if id(params) not in seen:
                seen[id(params)] = (params, view(params))  # the first keeps the id from being used again
            return seen[id(params)][1]

        return replace(
            self,
            posteriors=tuple(posterior.map_params(once) for posterior in self.posteriors),
            prior=None if self.prior is None else self.prior.map_params(once),
            base=None if self.base is None else once(self.base),
        )


class MergeRule(Protocol):
    """A way to turn `T` posteriors and `K` weightings into `K` sets of parameters.

    `domain` says what the weights are: `"weights"` are task weights `alpha` (non-negative, on the simplex unless
    there is a prior), `"coefficients"` are scaling coefficients `c` of any sign.

    Two more class variables are looked for: `reads_base = False` says that the base model is not asked for a tensor
    that the tasks cover, so that it need not be read ahead; `drops_at_random = True` that equal tensors may be merged
    differently, so that tied parameters need a warning.
    """

    @property
    def domain(self) -> Domain:
        """What the weights mean."""
        ...

    def prepare(self, inputs: Inputs) -> Any:
        """Check the inputs, and make room for what does not depend on the weights."""
        ...

    def blocks(self, state: Any) -> Sequence[str]:
        """The independent units of work."""
        ...

    def merge_block(self, state: Any, values: Tensor, block: str, out: Outputs) -> Iterator[str]:
        """Merge one block for all weightings `values [K, T]`, float64.

        Overwrites `out[name] [K, *shape]` for every tensor of the block, rounded once, and gives each name back when
        its tensor is complete; `out` may use the same memory for the next one.
        """
        ...


def collect_inputs(
    posteriors: Mapping[str, Posterior | Params],
    prior: Posterior | None = None,
    base: Params | None = None,
    accumulate: torch.dtype | None = None,
) -> Inputs:
    """Check posteriors, prior and base against each other; a plain checkpoint means an isotropic posterior.

    Raises:
        PosteriorError: no posteriors, or families, names or shapes that disagree.
        AlignmentError: the base lacks a tensor of the posteriors, or has another shape for it.
        WeightsError: sums in a dtype that is neither float32 nor float64.
    """
    if not posteriors:
        raise PosteriorError("nothing to merge: give at least one task → posterior or checkpoint")
    if accumulate not in (None, torch.float32, torch.float64):
        raise WeightsError(f"sums are kept in float32 or float64, not in {accumulate}")
    coerced = {task: _as_posterior(given, f"task {task!r}") for task, given in posteriors.items()}
    # A mixture takes single Gaussians beside it, and not the other way round.
    first = next((given for given in coerced.values() if given.family == "mixture"), next(iter(coerced.values())))
    for other in coerced.values():
        first.require_same_kind(other)
    if prior is not None:
        prior = _as_posterior(prior, "the prior")
        first.require_same_kind(prior)
    specs = dict(first.specs)
    if base is not None:
        _require_covers(base, specs)
        # The base decides the order and the dtypes of the output, and fills in what no posterior covers.
        specs = {name: spec_of(base, name) for name in base}
    return Inputs(tuple(coerced), tuple(coerced.values()), prior, base, specs, accumulate)


def _as_posterior(given: Posterior | Params, whose: str) -> Posterior:
    if isinstance(given, Mapping):
        return Isotropic(given)
    # Not isinstance(given, Posterior): Python 3.11 would evaluate every property of the protocol, the mean included.
    if not hasattr(type(given), "natural"):
        raise PosteriorError(
            f"{whose} is given as {type(given).__name__}: give a posterior, or parameters (a mapping name → tensor, or "
            "what open_checkpoint returns)"
        )
    return given


def _require_covers(base: Params, specs: Mapping[str, TensorSpec]) -> None:
    missing = [name for name in specs if name not in base]
    if missing:
        raise AlignmentError(
            f"the base lacks {len(missing)} tensors of the finetunes, first {missing[0]!r}: is it the base of these "
            "finetunes? Run `paretomerge check` to see everything at once"
        )
    for name, spec in specs.items():
        if spec_of(base, name).shape != spec.shape:
            raise AlignmentError(
                f"{name!r} has shape {list(spec_of(base, name).shape)} in the base and {list(spec.shape)} in the "
                "finetunes: another model, or another vocabulary"
            )
