"""The verb `merge`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from paretomerge.merging.base import MergeRule, collect_inputs, collect_merged
from paretomerge.merging.posterior import PosteriorMerge
from paretomerge.posteriors import Posterior
from paretomerge.types import Params


def merge(
    posteriors: Mapping[str, Posterior | Params],
    weights: Any,
    prior: Posterior | None = None,
    rule: MergeRule = PosteriorMerge(),
    base: Params | None = None,
) -> dict[str, Tensor] | list[dict[str, Tensor]]:
    """Merge the posteriors of `T` tasks at one weighting, or at `K` weightings in one sweep over the inputs.

    Args:
        posteriors: task → posterior, or task → checkpoint (an isotropic posterior of precision one).
        weights: a mapping task → weight, an array `[T]` or `[K, T]`, `Weights`, or `Coefficients` for rules whose
            domain is coefficients.
        prior: a posterior of the same family; its mean is the base model. Without it weights must sum to one.
        rule: the merge rule.
        base: the base model: decides the order and dtypes of the output, fills in tensors no posterior covers, and
            is the origin of task vectors.

    Returns:
        Parameters for one weighting, a list of `K` for a batch.

    Raises:
        WeightsError: weights outside the rule's domain, or for unknown tasks.
        PosteriorError: posteriors that do not fit each other, or a merged precision that is singular.
        AlignmentError: a base that does not fit the posteriors.

    >>> import torch
    >>> merged = merge({"a": {"w": torch.tensor([1.0])}, "b": {"w": torch.tensor([3.0])}}, {"a": 0.25, "b": 0.75})
    >>> merged["w"]
    tensor([2.5000])
    """
    return collect_merged(collect_inputs(posteriors, prior, base), weights, rule)
