"""How good every preview is: one row per method, all held against one truth with one reference point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from paretomerge.fronts import compare_preview, reference_point
from paretomerge.types import Origin, Scores


def compare_all(
    previews: Mapping[str, Scores], truth: Scores, noise: Scores, corners: Scores
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Quality of every method against the joint grid, on test, with one reference point for all fronts.

    Errors and rank correlations are over the jointly finetuned weightings. Fronts also hold the corners, which are
    the finetunes themselves for previews and truth alike.
    """
    everything = [*previews.values(), truth, noise, corners]
    reference = reference_point(*(scores.select("loss") for scores in everything))
    rows = [{"name": name, **_quality(scores, truth, corners, reference)} for name, scores in previews.items()]
    return rows, _quality(noise, truth, corners, reference)


def _quality(preview: Scores, truth: Scores, corners: Scores, reference: np.ndarray) -> dict[str, Any]:
    losses = compare_preview(preview.select("loss"), truth.select("loss"))
    hits = compare_preview(preview.select("accuracy"), truth.select("accuracy"))
    ends = corners.select("loss")
    fronts = compare_preview(
        Scores.concatenate([_as_trained(preview.select("loss")), ends]),
        Scores.concatenate([truth.select("loss"), ends]),
        reference=reference,
    )
    errors = np.abs(preview.select("loss").values - truth.select("loss").values)
    weighted = truth.weights > 0
    inside = weighted.all(axis=1)
    return {
        "hypervolume_ratio": fronts.hypervolume_ratio,
        "igd_plus": fronts.igd_plus,
        "loss_error": losses.preview_error,
        "loss_bias": losses.bias,
        "loss_error_interior": float(errors[inside].mean()),
        "loss_error_edges": float(errors[~inside][weighted[~inside]].mean()),
        "loss_error_unweighted": float(errors[~weighted].mean()),
        "accuracy_error": hits.preview_error,
        "rank_correlation": losses.as_dict()["rank_correlation"],
        "scalarised_loss": float((preview.select("loss").values * preview.weights).sum(axis=1).mean()),
    }


def _as_trained(scores: Scores) -> Scores:
    """The same numbers in one origin, so that corners can join them; used for front quality only."""
    origin: Origin = "trained"
    origins = (origin,) * len(scores)
    return Scores(scores.tasks, scores.weights, scores.values, scores.stderr, scores.objectives, origins)
