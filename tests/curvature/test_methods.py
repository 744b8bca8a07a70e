from __future__ import annotations

import pytest

from paretomerge.curvature import FitDense, FitDiagonal, FitIsotropic, FitKronecker, FitLowRank, FitSubspace
from paretomerge.errors import RecipeError


@pytest.mark.parametrize(
    ("method", "location"), [(FitDense, "centred"), (FitDense, "posterior"), (FitDiagonal, "x"), (FitKronecker, "x")]
)
def test_locations_are_those_of_the_family(method, location):
    with pytest.raises(RecipeError, match=rf"location='{location}' is unknown for \w+ posteriors: finetune, segment"):
        method(location=location)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"location": "segment"}, "location='segment' is unknown for subspace posteriors: finetune, centred"),
        ({"enrich": "noise"}, "enrich='noise' is unknown: auto, none, gradient or scaled_gradient"),
        ({"centres": -1}, "at least 1"),
        ({"centres": 2, "location": "finetune"}, "more than 1 needs location='centred'"),
        ({"enrich": "gradient", "location": "finetune"}, "an enriched basis needs location='centred'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(RecipeError, match=message):
        FitSubspace(**settings)


@pytest.mark.parametrize(
    ("settings", "enrich", "centres"),
    [
        ({}, "scaled_gradient", 2),
        ({"location": "centred", "enrich": "auto", "centres": 0}, "scaled_gradient", 2),
        ({"location": "finetune"}, "none", 1),
        ({"location": "finetune", "enrich": "auto", "centres": 0}, "none", 1),
        ({"enrich": "none"}, "none", 2),
        ({"enrich": "gradient", "centres": 1}, "gradient", 1),
        ({"centres": 3}, "scaled_gradient", 3),
    ],
)
def test_what_a_subspace_is_not_told_depends_on_its_location(settings, enrich, centres):
    method = FitSubspace(**settings)
    assert (method.enrich, method.centres, method.validated) == (enrich, centres, True)
    assert method.examples is method.gradient_examples is None
    # What was decided is written down, and means the same when it is read again.
    assert f"enrich='{enrich}', centres={centres}, validated=True" in repr(method)
    assert eval(repr(method)) == method


@pytest.mark.parametrize("method", [FitDiagonal, FitKronecker])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": "exact"}, "labels='exact' is unknown: true, ggn or empirical"),
        ({"samples": 0}, "samples counts draws of a task's posterior: at least 1, got 0"),
    ],
)
def test_labels_and_samples_are_checked(method, settings, message):
    with pytest.raises(RecipeError, match=message):
        method(**settings)


@pytest.mark.parametrize("method", [FitDense, FitDiagonal, FitKronecker, FitLowRank])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"examples": 0}, "examples counts examples of each task: at least 1, or all when absent; got 0"),
        ({"damping": -0.1}, "damping must be at least 0, got -0.1"),
        ({"damping": float("nan")}, "damping must be at least 0, got nan"),
    ],
)
def test_examples_and_damping_are_checked(method, settings, message):
    with pytest.raises(RecipeError, match=message):
        method(**settings)
    assert method(examples=1, damping=0.0).examples == 1


def test_a_broken_regular_expression_is_refused():
    with pytest.raises(RecipeError, match=r"parameters='\(head' is no regular expression: missing \)"):
        FitDense(parameters="(head")


def test_an_unknown_sharing_is_refused():
    with pytest.raises(RecipeError, match="sharing='split' is unknown: expand or reduce"):
        FitKronecker(sharing="split")


def test_a_recipe_names_a_kronecker_posterior():
    from paretomerge.recipes.methods import method

    assert method("posterior", "kronecker", {"damping": "1e-2"}) == FitKronecker(damping=1e-2)


def test_families_have_the_names_of_the_posteriors():
    names = [method.family for method in (FitIsotropic, FitDiagonal, FitKronecker, FitDense, FitSubspace)]
    assert names == ["isotropic", "diagonal", "kronecker", "dense", "subspace"]
