"""Merging again and again: the inputs stay in memory, and each merge overwrites a live model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.merging.base import Inputs, MergeRule, collect_inputs
from paretomerge.merging.merge import merge_into
from paretomerge.merging.posterior import PosteriorMerge
from paretomerge.posteriors import Posterior
from paretomerge.types import Params, require_fits, tied_names


@dataclass(frozen=True, eq=False)
class ResidentMerge:
    """Posteriors, prior and base held in memory on one device; make one with `ResidentMerge.of`.

    Each merge reads them once and writes one model, in place: nothing the size of a model is allocated.
    """

    inputs: Inputs
    rule: MergeRule

    @classmethod
    def of(
        cls,
        posteriors: Mapping[str, Posterior | Params],
        prior: Posterior | None = None,
        rule: MergeRule = PosteriorMerge(),
        base: Params | None = None,
        accumulate: torch.dtype | None = None,
        device: torch.device | str = "cpu",
    ) -> ResidentMerge:
        """Read everything once, to `device`; the arguments are those of `merge`.

        Raises:
            PosteriorError, AlignmentError, WeightsError: as `merge`.
        """
        inputs = collect_inputs(posteriors, prior, base, accumulate)
        return cls(inputs.map_params(lambda params: {name: params[name].to(device) for name in params}), rule)

    @cached_property
    def _held(self) -> frozenset[int]:
        """Where the memory of the inputs begins."""
        held: set[int] = set()

        def note(inputs: Params) -> Params:
            held.update(tensor.untyped_storage().data_ptr() for tensor in inputs.values() if tensor.numel())
            return inputs

        self.inputs.map_params(note)
        return frozenset(held)

    def new_params(self) -> dict[str, Tensor]:
        """Memory for one merged model, not initialised."""
        filler = self.inputs.filler
        return {
            name: torch.empty(spec.shape, dtype=spec.dtype, device=filler[name].device)
            for name, spec in self.inputs.specs.items()
        }

    def merge_into(self, params: Params, weights: Any) -> None:
        """Overwrite `params` with the merge at one weighting; see `paretomerge.merging.merge_into`.

        Raises:
            AlignmentError: `params` do not fit, or share memory with the inputs.
            WeightsError, PosteriorError: as `merge_into`.
        """
        merge_into(self.inputs, weights, self.rule, params)

    def load_into(self, module: nn.Module, weights: Any) -> None:
        """Overwrite the parameters and buffers of a live module with the merge at one weighting.

        Each tensor is rounded once, into the dtype that the module has. A tied parameter is written once, under its
        first name; buffers that the merge does not know stay.

        Raises:
            AlignmentError: the module has a parameter that the merge lacks, or of another shape, or is one of the
                inputs itself.
            WeightsError, PosteriorError: as `merge_into`.
        """
        state, tied = module.state_dict(), tied_names(module)
        require_fits(self.inputs.specs, module)
        # Two names of one tensor: random rules may merge them differently, so only the first is written.
        params = {name: torch.empty_like(tensor) if name in tied else tensor for name, tensor in state.items()}
        self.merge_into(params, weights)
