"""Our families: what the package recommends, one factor changed at a time; and on small settings all of them."""

from __future__ import annotations

from itertools import product

from benchmarks.suite.methods.base import Method
from benchmarks.suite.methods.previews import previewed
from paretomerge import FitDiagonal, FitKronecker, FitSubspace
from paretomerge.curvature import FitLowRank
from paretomerge.curvature.layers import Labels
from paretomerge.curvature.methods import FitMethod
from paretomerge.curvature.methods.locations import Location
from paretomerge.stages import PreviewMethod

DEFAULT = "default"
ENRICHED = FitSubspace(enrich="scaled_gradient", centres=1, validated=False)
"""The default's first centre."""

ROUTES: tuple[Labels, ...] = ("true", "ggn", "empirical")
PLACES: tuple[Location, ...] = ("finetune", "segment", "average", "posterior", "centred")
STRENGTHS = (1e-2, 1e-1, 1.0)
STEPS = (1.0, 10.0, 100.0, 1e3, 1e4)
"""Dampings of centred posteriors over plain parameters, which know too little coupling: smaller steps overshoot."""


def own(name: str, fit: FitMethod, *, keep_fit: bool = False, **factors: object) -> Method:
    """Previews with the fit's own damping: nothing is chosen."""
    return previewed(PreviewMethod(name, fit, strengths=(fit.damping,)), keep_fit=keep_fit, **factors)


def posteriors(smoke: bool) -> list[Method]:
    """The default, and families at their own dampings; each is one fit that a pretrained transformer allows."""
    recentred = PreviewMethod("recentred per weighting", ENRICHED, strengths=(ENRICHED.damping,), recentre_steps=1)
    return [
        own(DEFAULT, FitSubspace(), keep_fit=True),
        own("subspace, blocks, centred", FitSubspace("block", enrich="none", centres=1, validated=False)),
        own("subspace, layers, centred", FitSubspace(enrich="none", centres=1, validated=False)),
        own("subspace, layers, enriched", ENRICHED, keep_fit=True),
        own("subspace, layers, at finetunes", FitSubspace(location="finetune")),
        own("diagonal", FitDiagonal(), keep_fit=True),
        own("diagonal, at the average", FitDiagonal(location="average")),
        own("EKFAC, at finetunes", FitKronecker()),
        own("low rank, at finetunes", FitLowRank()),
        previewed(recentred, keep_fit=True, recentred=1),
    ]


FEW = (DEFAULT, "subspace, blocks, centred", "subspace, layers, centred", "subspace, layers, at finetunes", "diagonal")


def posteriors_few(smoke: bool) -> list[Method]:
    """Those that a language model with its vocabulary of outputs allows."""
    return [method for method in posteriors(smoke) if method.name in FEW]


def routes(smoke: bool) -> list[Method]:
    """Family × route × location; the damping of each is chosen on validation data."""
    labels, places = (ROUTES[:1], PLACES[:1]) if smoke else (ROUTES, PLACES)
    found: list[tuple[str, FitMethod]] = []
    for route, place in product(labels, places):
        found.append((f"diagonal, {route}, {place}", FitDiagonal(route, location=place)))
        for name, corrected in (("EKFAC", True), ("K-FAC", False)):
            found.append((f"{name}, {route}, {place}", FitKronecker(corrected, route, location=place)))
    for place in places:
        if place != "posterior":
            found.append((f"low rank 10, ggn, {place}", FitLowRank(location=place)))
    return [
        previewed(PreviewMethod(name, fit, strengths=strengths_at(fit)), study="routes") for name, fit in found
    ] + subspaces(smoke)


def subspaces(smoke: bool) -> list[Method]:
    """Groups × location × enrichment, one centre."""
    groups = ("layer",) if smoke else ("model", "layer", "block", "tensor")
    found: list[tuple[str, FitMethod]] = []
    for group in groups:
        found.append((f"subspace by {group}, finetune", FitSubspace(group, "finetune")))
        found.append((f"subspace by {group}, centred", FitSubspace(group, enrich="none", centres=1, validated=False)))
        found.append((f"subspace by {group}, centred, enriched", FitSubspace(group, centres=1, validated=False)))
    return [previewed(PreviewMethod(name, fit, strengths=strengths_at(fit)), study="routes") for name, fit in found]


def strengths_at(fit: FitMethod) -> tuple[float, ...]:
    """Candidates of the damping."""
    return STEPS if fit.family != "subspace" and getattr(fit, "location", "") == "centred" else STRENGTHS
