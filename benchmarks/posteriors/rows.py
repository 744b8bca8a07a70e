"""The rows: the whole product of families, routes and locations on digits, one factor at a time on sentiment."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from benchmarks.posteriors.measure import STRENGTHS, Row
from benchmarks.posteriors.settings import Setting

from paretomerge import Averaging, TaskArithmetic, TrainingRecipe
from paretomerge.curvature import (
    Curvatures,
    FitDense,
    FitDiagonal,
    FitIsotropic,
    FitKronecker,
    FitLowRank,
    FitSubspace,
    diagonal_fisher,
)
from paretomerge.curvature.predictor import LossModel, parameters_of
from paretomerge.demo.trainings import FINETUNING
from paretomerge.merging import MixtureMerge
from paretomerge.posteriors import Diagonal, Isotropic, Mixture
from paretomerge.training import finetune

NEVER = (0.0,)
IVON = replace(FINETUNING, optimizer="ivon")
STEPS = (1.0, 10.0, 100.0, 1e3, 1e4)
"""Dampings where a diagonal, which knows no coupling, is used for a step: smaller ones overshoot by far."""
ROUTES = ("true", "ggn", "empirical")
PLACES = ("finetune", "segment", "average", "posterior", "centred")


def plain() -> list[Row]:
    """What needs no curvature."""
    return [
        Row(
            "averaging",
            {"family": "isotropic", "route": "none", "location": "none"},
            FitIsotropic(),
            Averaging(),
            NEVER,
        ),
        Row(
            "task arithmetic",
            {"family": "isotropic", "route": "none", "location": "none"},
            FitIsotropic(),
            TaskArithmetic(),
            (0.7, 1.0, 1.3, 1.6, 2.0),
        ),
    ]


def diagonals(examples: int, routes=ROUTES, places=PLACES) -> list[Row]:
    """Diagonal posteriors."""
    return [
        Row(
            f"diagonal, {route}, {place}",
            {"family": "diagonal", "route": route, "location": place, "examples": examples},
            FitDiagonal(route, location=place, examples=examples),
            strengths=STEPS if place == "centred" else STRENGTHS,
        )
        for route, place in product(routes, places)
    ]


def kroneckers(examples: int, corrected=(True, False), routes=ROUTES, places=PLACES) -> list[Row]:
    """K-FAC and EKFAC."""
    return [
        Row(
            f"{'EKFAC' if ekfac else 'K-FAC'}, {route}, {place}",
            {"family": "EKFAC" if ekfac else "K-FAC", "route": route, "location": place, "examples": examples},
            FitKronecker(ekfac, route, location=place, examples=examples),
            strengths=STEPS if place == "centred" else STRENGTHS,
        )
        for ekfac, route, place in product(corrected, routes, places)
    ]


def low_ranks(examples: int, ranks=(10,), places=("finetune", "segment", "average", "centred")) -> list[Row]:
    """Leading eigenvectors and a diagonal."""
    return [
        Row(
            f"low rank {rank}, ggn, {place}",
            {"family": "low rank", "route": "ggn", "location": place, "rank": rank, "examples": examples},
            FitLowRank(rank, location=place, examples=examples),
            strengths=STEPS if place == "centred" else STRENGTHS,
        )
        for rank, place in product(ranks, places)
    ]


def subspaces(examples: int, levels) -> list[Row]:
    """Subspaces: `(groups, location, enrich, centres)` each, and further settings."""
    rows = []
    for groups, location, enrich, centres, *more in levels:
        further = {"validated": False, **(more[0] if more else {})}
        named = groups if groups == "model" else f"{groups}s"
        words = [f"subspace, {named}", location if centres == 1 else f"{location} {centres} times"]
        words += [f"enriched by {enrich}"] if enrich != "none" else []
        words += ["if validated"] if further["validated"] else []
        words += [f"{further['examples']} examples"] if "examples" in further else []
        count = further.get("examples", examples)
        settings = {key: value for key, value in further.items() if key not in ("examples", "split")}
        rows.append(
            Row(
                ", ".join(words),
                {
                    "family": "subspace",
                    "route": "ggn",
                    "location": location,
                    "groups": named,
                    "enrich": enrich,
                    "centres": centres,
                    "examples": count,
                    **settings,
                },
                FitSubspace(groups, location, enrich, centres, examples=count, **settings),
                split=further.get("split", "training"),
            )
        )
    return rows


def examples_rows(counts) -> list[Row]:
    """Sensitivity to the number of curvature examples."""
    rows = []
    for count in counts:
        rows += [
            Row(
                f"{name}, {count} examples",
                {"family": family, "study": "examples", "examples": count},
                fit,
            )
            for name, family, fit in (
                ("diagonal, true, finetune", "diagonal", FitDiagonal(examples=count)),
                ("EKFAC, true, finetune", "EKFAC", FitKronecker(examples=count)),
                ("subspace, layers, centred", "subspace", FitSubspace("layer", "centred", "none", 1, examples=count)),
            )
        ]
    return rows


def other_runs(recipe: TrainingRecipe, name: str, label: str) -> list[Row]:
    """Finetunes by another optimizer, whose posterior comes with the training: averaged, and merged."""

    def trained(setting: Setting) -> Curvatures:
        found = {}
        for number, (task, row) in enumerate(zip(setting.problem.tasks, np.eye(3), strict=True)):
            alpha = dict(zip(setting.problem.tasks, row.tolist(), strict=True))
            run = finetune(setting.problem, setting.base, alpha, recipe, setting.first_seed + number)
            assert run.posterior is not None
            found[task] = run.posterior
        return Curvatures(FitDiagonal(), found)

    def averaged(setting: Setting) -> Curvatures:
        return Curvatures(FitIsotropic(), {task: Isotropic(p.mean) for task, p in trained(setting).bare.items()})

    return [
        Row(
            f"diagonal, {name}",
            {"family": "diagonal", "route": label, "location": "training"},
            FitDiagonal(),
            curvatures=trained,
        ),
        Row(
            f"averaging of {name} finetunes",
            {"family": "isotropic", "route": f"{label} finetunes", "location": "none"},
            FitIsotropic(),
            Averaging(),
            NEVER,
            curvatures=averaged,
        ),
    ]


def mixtures(counts, examples: int) -> list[Row]:
    """Several runs per task: EM, equal responsibilities (the control), and the plain average of the same runs."""

    def components(count: int):
        def make(setting: Setting) -> Curvatures:
            module = setting.problem.build()
            model = LossModel.of(module, setting.problem.likelihood)
            found = {}
            for task, runs in setting.runs(count).items():
                members = []
                for run in runs:
                    params = parameters_of(run, module)
                    fisher = diagonal_fisher(model, params, setting.problem.batches(task, "training"), "true", examples)
                    mean = {name: params[name] for name in fisher.diagonal}
                    members.append(Diagonal(mean, fisher.diagonal))
                found[task] = Mixture.of_runs(members)
            return Curvatures(FitDiagonal(), found)

        return make

    rows = []
    for count in counts:
        for rule, words in (
            (MixtureMerge("layer"), "EM"),
            (MixtureMerge("layer", responsibilities="equal"), "equal responsibilities"),
        ):
            rows.append(
                Row(
                    f"mixture of {count} runs, {words}",
                    {"family": "mixture", "study": "runs", "runs": count, "responsibilities": words},
                    FitDiagonal(),
                    rule,
                    curvatures=components(count),
                )
            )
    return rows


DIGITS = [
    *plain(),
    *diagonals(200),
    *kroneckers(200),
    *low_ranks(200, places=("finetune", "average", "centred")),
    Row(
        "dense on the head, ggn, finetune",
        {"family": "dense", "route": "ggn", "location": "finetune", "examples": 200},
        FitDense(r"^head\.", examples=200),
    ),
    *subspaces(
        200,
        [
            *((groups, "finetune", "none", 1) for groups in ("model", "layer", "tensor")),
            *((groups, "centred", "none", 1) for groups in ("model", "layer", "tensor")),
            *((groups, "centred", "none", 2) for groups in ("layer", "tensor")),
            *((groups, "centred", "scaled_gradient", 1) for groups in ("layer", "tensor")),
            *((groups, "centred", "scaled_gradient", 2) for groups in ("layer", "tensor")),
            ("layer", "centred", "gradient", 1),
            ("layer", "centred", "gradient", 2),
            ("layer", "centred", "scaled_gradient", 3),
            *(("layer", "centred", "scaled_gradient", 2, {"validated": True, "examples": n}) for n in (200, 700)),
            ("tensor", "centred", "none", 2, {"validated": True}),
            ("block", "centred", "none", 1),
            ("block", "centred", "scaled_gradient", 1),
            *(("block", "centred", "scaled_gradient", 2, {"validated": True, "examples": n}) for n in (200, 700)),
        ],
    ),
    *other_runs(IVON, "IVON", "ivon"),
    *other_runs(FINETUNING, "AdamW's moments", "adam")[:1],
    *examples_rows((25, 50, 100, 400, 700)),
    *mixtures((1, 2, 4), 200),
]

FEW = (3e-2, 1e-1, 3e-1)
SENTIMENT = [
    replace(row, strengths=FEW if row.strengths is STRENGTHS else row.strengths)
    for row in (
        *plain()[:1],
        *subspaces(
            300,
            [
                ("layer", "centred", "none", 1, {"gradient_examples": 300}),
                ("block", "centred", "none", 1, {"gradient_examples": 300}),
                ("layer", "centred", "scaled_gradient", 1, {"gradient_examples": 300}),
                ("layer", "centred", "scaled_gradient", 2, {"gradient_examples": 300, "validated": True}),
                ("block", "centred", "scaled_gradient", 2, {"gradient_examples": 300, "validated": True}),
            ],
        ),
        *diagonals(300, ("true",), ("finetune",)),
        *subspaces(
            300,
            [
                ("layer", "finetune", "none", 1),
                ("layer", "centred", "scaled_gradient", 2, {"gradient_examples": 300}),
                ("block", "centred", "scaled_gradient", 1, {"gradient_examples": 300}),
            ],
        ),
        *diagonals(300, ("empirical",), ("finetune",)),
        *kroneckers(300, (True,), ("true",), ("finetune",)),
    )
]

ROWS = {"digits": DIGITS, "sentiment": SENTIMENT}
