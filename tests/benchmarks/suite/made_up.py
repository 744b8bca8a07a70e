"""Committed results that nobody measured, with every kind of method: for tables and pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

SEEDS = (0, 1, 2)
MEASURES = (
    "loss_error",
    "loss_bias",
    "loss_error_to_mean",
    "accuracy_error",
    "recalibrated_error_2",
    "loss_error_interior",
    "recalibrated_error_interior_2",
    "hypervolume_ratio",
    "igd_plus",
    "rank_correlation",
    "share",
    "share_of_passes",
    "trainings",
    "gradient_passes",
    "evaluations",
    "core_seconds",
)
PREVIEWS: dict[str, dict[str, Any]] = {
    "averaging": {"family": "isotropic"},
    "diagonal": {"family": "diagonal", "location": "finetune"},
    "EKFAC, at finetunes": {"family": "kronecker", "location": "finetune"},
    "low rank, at finetunes": {"family": "low_rank", "location": "finetune"},
    "subspace, layers, at finetunes": {"family": "subspace", "location": "finetune"},
    "subspace, layers, centred": {"family": "subspace", "location": "centred"},
    "subspace, layers, enriched": {"family": "subspace", "location": "centred"},
    "default": {"family": "subspace", "location": "centred"},
    "default, 25 examples": {"family": "subspace", "study": "examples"},
    "diagonal, 400 examples": {"family": "diagonal", "study": "examples"},
    "default, damping 0.03": {"family": "subspace", "study": "damping"},
    "diagonal, true, segment": {"family": "diagonal", "study": "routes", "route": "true", "location": "segment"},
    "subspace by layer, centred": {"family": "subspace", "study": "routes", "route": "ggn", "location": "centred"},
    "soup of 1 run": {"family": "isotropic", "study": "runs", "runs": 1},
    "mixture of 3 runs, EM": {"family": "mixture", "study": "runs", "runs": 3},
    "soup of 2 runs, then default": {"family": "subspace", "study": "runs", "runs": 2},
    "continued from one joint run": {"family": "subspace", "study": "anchored"},
    "5 % joint steps from the merge": {"family": "subspace", "study": "steps", "percent": 5, "start": "merge"},
}
SEARCHES = (("informed", "weights"), ("MAP as published", "coefficients"))
SAID = {
    "predictions": 60,
    "intervals": 60,
    "probabilities": 20,
    **{f"coverage_{level}": level / 100 for level in (50, 80, 90, 95)},
    "sharpness": 0.1,
    "standardised_spread": 1.1,
    "standardised_bias": 0.1,
    "prediction_error": 0.02,
    "prediction_bias": 0.01,
    "nondominated_said": 0.7,
    "nondominated_seen": 0.6,
    "nondominated_brier": 0.2,
    "nondominated_bin_60_80_points": 20,
    "nondominated_bin_60_80_said": 0.7,
    "nondominated_bin_60_80_seen": 0.6,
}

APART = {"largest_difference": 1e-7, "largest_update": 0.04, "differing_share": 0.0}
"""Of another implementation."""


def made_up(name: str) -> dict[str, Any]:
    """One setting."""
    random = np.random.default_rng(len(name))
    methods: dict[str, Any] = {}
    for place, (method, factors) in enumerate(PREVIEWS.items()):
        methods[method] = one("preview", factors, random, 0.3 / (1 + place))
        methods[method]["facts"] = {"curvature_error": [0.9 / (1 + place)] * len(SEEDS)}
    for search, space in SEARCHES:
        for budget in (0, 10, 20):
            for share in (1.0, 0.25) if budget == 20 else (1.0,):
                factors = {"search": search, "space": space, "budget": budget, "share": share}
                found = one("front", factors, random, 0.02, 0.04 + 0.004 * budget)
                found["uncertainty"] = SAID
                found["measures"]["hypervolume_ratio"] = [0.9 + budget / 250] * len(SEEDS)
                methods[f"{search} over {space}, {budget} evaluations, {share}"] = found
    methods["mergekit: averaging"] = one("preview", {"rule": "averaging", "implementation": "mergekit"}, random, 0.3)
    methods["mergekit: averaging"]["facts"] = {"against_ours": [APART] * len(SEEDS)}
    return {
        "setting": name,
        "about": "made up",
        "machines": [],
        "seeds": list(SEEDS),
        "tasks": ["a", "b", "c"],
        "repeats": 3,
        "sizes": {"weightings": 13, "repeated": 13, "parameters": 58282, "steps": 200, "curvature_examples": 200},
        "facts": {},
        "similarity": {"task_vector_cosine": [0.1, 0.2, 0.3]},
        "floor": {key: [0.01, 0.011, 0.012] for key in (*MEASURES[:10], "loss_error_of_mean", "hypervolume_off")},
        "grid": {
            "core_seconds": [100.0, 101.0, 102.0],
            "gradient_passes": [1e6] * 3,
            "trainings": [66] * 3,
            "joint_volumes": [np.linspace(0.2, 1, 14).tolist()] * 3,
        },
        "failures": {},
        "methods": methods,
    }


def one(kind: str, factors: dict[str, Any], random: np.random.Generator, level: float, share: float = 0.04) -> dict:
    """One method, its numbers around a level."""
    measures = {measure: (level * random.uniform(0.8, 1.2, len(SEEDS))).tolist() for measure in MEASURES}
    measures["hypervolume_ratio"] = (1 - level * random.uniform(0.8, 1.2, len(SEEDS))).tolist()
    measures["share"] = [share] * len(SEEDS)
    if kind == "front":
        measures = {key: measures[key] for key in ("hypervolume_ratio", "igd_plus", "share", "evaluations")}
    return {"kind": kind, "factors": factors, "runs": 1, "measures": measures, "facts": {}, "uncertainty": {}}
