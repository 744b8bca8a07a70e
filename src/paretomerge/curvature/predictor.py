"""A module as a pure function of its parameters, which is what curvature differentiates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.curvature.likelihoods import Likelihood, likelihood_of
from paretomerge.errors import DataError
from paretomerge.types import LikelihoodName, Params, Problem, outputs_of, require_fits, tied_names

Predictor = Callable[[Params, Any], Tensor]
"""`(params, inputs) → outputs [B, C]`: logits, or predicted means."""


def module_predictor(module: nn.Module) -> Predictor:
    """`module` as a function of its parameters, in evaluation mode (no dropout).

    Inputs may be one tensor or a mapping of keyword arguments; outputs may be a tensor or carry `.logits`, as
    Hugging Face models do. Buffers missing from the parameters are the module's own. A tied parameter goes by its
    first name; its second name is ignored.
    """
    module.eval()
    tied = tied_names(module)

    def predict(params: Params, inputs: Any) -> Tensor:
        state = {name: tensor for name, tensor in params.items() if name not in tied}
        if isinstance(inputs, Mapping):
            outputs = torch.func.functional_call(module, state, (), dict(inputs), tie_weights=bool(tied))
        else:
            outputs = torch.func.functional_call(module, state, (inputs,), tie_weights=bool(tied))
        return outputs_of(outputs)

    return predict


@dataclass(frozen=True, eq=False)
class LossModel:
    """A model and its loss: everything curvature needs besides parameters and examples.

    Args:
        predict: outputs as a function of parameters and inputs.
        likelihood: the loss of outputs and targets.
        trainable: names of the parameters that are differentiated.
        module: what `predict` calls, where the inputs of its layers can be recorded; without it every example is
            differentiated by itself.
    """

    predict: Predictor
    likelihood: Likelihood
    trainable: tuple[str, ...]
    module: nn.Module | None = None
    found: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What was learnt about the module, kept for the next task."""

    @classmethod
    def of(cls, module: nn.Module, likelihood: str = "categorical") -> LossModel:
        """From a module and the name of its likelihood."""
        trainable = tuple(name for name, parameter in module.named_parameters() if parameter.requires_grad)
        return cls(module_predictor(module), likelihood_of(likelihood), trainable, module)


def require_likelihood(problem: Problem) -> LikelihoodName:
    """The likelihood whose curvature can be measured.

    Raises:
        DataError: the problem has a loss of its own, of which only values are known.
    """
    if problem.loss_fn is not None:
        raise DataError(
            "this problem has a loss of its own (loss_fn), and curvature needs a likelihood's derivatives with "
            "respect to the model's outputs. What remains: an isotropic posterior (posterior: {family: isotropic}), "
            "which measures nothing, or posteriors that training itself gives (posterior: {files: ...}), such as "
            "those of optimizer ivon. Where the loss is a likelihood that is known, leave out loss_fn"
        )
    return problem.likelihood


def parameters_of(params: Params, module: nn.Module) -> dict[str, Tensor]:
    """`params` in the order of the module's state, missing buffers filled in, tied parameters under one name.

    Raises:
        AlignmentError: a parameter of the module is missing, has another shape, or is unknown to it.
    """
    require_fits(params, module)
    tied = tied_names(module)
    return {name: params.get(name, own) for name, own in module.state_dict().items() if name not in tied}
