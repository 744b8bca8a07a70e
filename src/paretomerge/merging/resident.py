"""Merging again and again: the inputs stay in memory, and each merge overwrites a live model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.errors import AlignmentError, WeightsError
from paretomerge.merging.base import Inputs, MergeRule, collect_inputs
from paretomerge.merging.merge import merge_prepared
from paretomerge.merging.posterior import PosteriorMerge
from paretomerge.merging.values import BlockValues
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

    def new_params(self) -> dict[str, Tensor]:
        """Memory for one merged model, not initialised."""
        filler = self.inputs.filler
        return {
            name: torch.empty(spec.shape, dtype=spec.dtype, device=filler[name].device)
            for name, spec in self.inputs.specs.items()
        }

    def merge_into(self, params: Params, weights: Any) -> None:
        """Overwrite `params` with the merge at one weighting; see the function of this name.

        Raises:
            AlignmentError: `params` do not fit, or share memory with the inputs.
            WeightsError, PosteriorError: as `merge_into`.
        """
        _require_fitting(self.inputs, params)
        self._require_apart(params)
        values = BlockValues(weights, self.inputs, self.rule)
        if values.count != 1:
            raise WeightsError(
                f"{values.count} weightings where one was expected: one set of parameters holds one merged model"
            )
        out = {name: params[name][None] for name in self.inputs.specs}
        with torch.no_grad():
            for _ in merge_prepared(self.inputs, values, self.rule, self._state, out):
                pass

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

    @cached_property
    def _state(self) -> Any:
        """What the rule computes once: thresholds of trimmed task vectors, say."""
        return self.rule.prepare(self.inputs)

    @cached_property
    def _held(self) -> frozenset[int]:
        """Where the memory of the inputs begins; what reads lazily has none."""
        memory = (params for params in self.inputs.params if not hasattr(params, "spec"))
        return frozenset(
            tensor.untyped_storage().data_ptr() for params in memory for tensor in params.values() if tensor.numel()
        )

    def _require_apart(self, params: Params) -> None:
        for name in self.inputs.specs:
            if params[name].numel() and params[name].untyped_storage().data_ptr() in self._held:
                raise AlignmentError(
                    f"{name!r} is both an input of this merge and where it would be written, so the next merge would "
                    "start from the result of this one: merge into another copy of the model"
                )


def merge_into(inputs: Inputs, weights: Any, rule: MergeRule, params: Params) -> None:
    """Overwrite `params`, tensors that exist already (of a live module, say), with the merge at one weighting.

    Args:
        inputs: from `collect_inputs`; keep them in memory to merge many times (see `ResidentMerge`).
        weights: one weighting.
        rule: the merge rule.
        params: name → tensor for every tensor of the merged model, on the device of the inputs.

    Raises:
        AlignmentError: `params` lack a tensor of the merged model, have another shape for it, integers where numbers
            are merged, or share memory with the inputs.
        WeightsError: as `merge`, or several weightings; before the first tensor is overwritten, unless a rule that
            divides by the sum of the weights finds it zero in a later tensor (weights that differ by patterns).
        PosteriorError: as `merge`; what comes before the singular block is then overwritten.
    """
    ResidentMerge(inputs, rule).merge_into(params, weights)


def _require_fitting(inputs: Inputs, params: Params) -> None:
    for name, spec in inputs.specs.items():
        if name not in params or tuple(params[name].shape) != spec.shape:
            what = f"shape {list(params[name].shape)}" if name in params else "none"
            raise AlignmentError(
                f"cannot merge in place: {name!r} of shape {list(spec.shape)} was expected, there is {what}. Give the "
                "tensors of the same architecture as the finetunes"
            )
        if spec.is_mergeable and not params[name].is_floating_point():
            raise AlignmentError(
                f"cannot merge in place: {name!r} is {params[name].dtype}, which would cut off what comes after the "
                "point. Load the model in a floating-point dtype"
            )
