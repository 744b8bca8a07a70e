from __future__ import annotations

import pytest

from paretomerge.curvature import FitDense, FitDiagonal, FitIsotropic, FitKronecker, FitSubspace
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
        ({"enrich": "noise"}, "enrich='noise' is unknown: none, gradient or scaled_gradient"),
        ({"centres": 0}, "at least 1"),
        ({"centres": 2, "location": "finetune"}, "more than 1 needs location='centred'"),
        ({"enrich": "gradient", "location": "finetune"}, "an enriched basis needs location='centred'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(RecipeError, match=message):
        FitSubspace(**settings)


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


def test_an_unknown_sharing_is_refused():
    with pytest.raises(RecipeError, match="sharing='split' is unknown: expand or reduce"):
        FitKronecker(sharing="split")


def test_a_recipe_names_a_kronecker_posterior():
    from paretomerge.recipes.methods import method

    assert method("posterior", "kronecker", {"damping": "1e-2"}) == FitKronecker(damping=1e-2)


def test_families_have_the_names_of_the_posteriors():
    names = [method.family for method in (FitIsotropic, FitDiagonal, FitKronecker, FitDense, FitSubspace)]
    assert names == ["isotropic", "diagonal", "kronecker", "dense", "subspace"]
