"""Merges of subspace posteriors in their own coordinates, without building any model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from paretomerge.merging.base import collect_inputs
from paretomerge.merging.posterior import PosteriorMerge
from paretomerge.merging.values import as_values
from paretomerge.posteriors import Subspace


def merge_coordinates(posteriors: Mapping[str, Subspace], weights: Any) -> Tensor:
    """`c(α) = (Σ α_t A_t)^-1 Σ α_t η_t` for `K` weightings: `[K, D]`.

    Raises:
        PosteriorError: a weighted precision that is singular.
        WeightsError: weights outside the simplex.
    """
    inputs, rule = collect_inputs(posteriors), PosteriorMerge()
    values = torch.from_numpy(as_values(weights, inputs, rule).copy())
    return rule.solve(inputs, values, "coordinates")
