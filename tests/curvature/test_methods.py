from __future__ import annotations

import pytest

from paretomerge.curvature import FitDense, FitDiagonal, FitIsotropic, FitSubspace
from paretomerge.errors import RecipeError


@pytest.mark.parametrize("method", [FitDense, FitDiagonal])
def test_families_with_a_mean_have_no_centred_form(method):
    with pytest.raises(RecipeError, match=r"location='centred' is unknown for \w+ posteriors: finetune, segment"):
        method(location="centred")


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


def test_families_have_the_names_of_the_posteriors():
    names = [method.family for method in (FitIsotropic, FitDiagonal, FitDense, FitSubspace)]
    assert names == ["isotropic", "diagonal", "dense", "subspace"]
