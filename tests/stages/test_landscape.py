from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.tiny import TASKS, recipe_of, write_recipe

from paretomerge.errors import RecipeError
from paretomerge.stages import Study, fit_run, open_study
from paretomerge.stages.landscape import Landscape, landscape_of

ARITHMETIC = {"name": "task_arithmetic"}


def _landscape(own: Path, front: dict[str, Any], **changes: Any) -> tuple[Landscape, Study]:
    study = open_study(write_recipe(own, recipe_of(front=front, **changes)))
    return landscape_of(fit_run(study)), study


def test_what_posteriors_predict_of_coefficients_is_what_they_predict_of_the_model(own: Path) -> None:
    """The quadratics in coefficients are those of the merged parameters, for every kind of domain."""
    posterior = {"family": "subspace", "settings": {"enrich": "none", "centres": 1}}
    for number, (domain, rule) in enumerate([("coefficients", ARITHMETIC), ("groups", {"name": "posterior"})]):
        recipe = recipe_of(front={"domain": domain}, rule=rule, posterior=posterior)
        fitted = fit_run(open_study(write_recipe(own, recipe), own / f"run{number}"))
        landscape = landscape_of(fitted)
        points = landscape.domain.spread(3)
        expected = [
            [loss.at(model) for loss in fitted.curvatures.losses.values()] for model in landscape.models(points)
        ]
        np.testing.assert_allclose(landscape.predicted_losses(points), expected, rtol=1e-4)


def test_one_coefficient_per_group_reaches_the_finetunes(own: Path) -> None:
    landscape, study = _landscape(own, {"domain": "groups"})
    assert landscape.domain.names == tuple(f"{group}:{task}" for group in ("0", "2") for task in TASKS)
    corner = np.array([[name.endswith(":signs") for name in landscape.domain.names]], dtype=float)
    model = next(iter(landscape.models(corner)))
    for name, tensor in model.items():
        np.testing.assert_allclose(tensor.numpy(), study.finetunes["signs"][name].numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("front", "rule", "message"),
    [
        ({"domain": "coefficients"}, {"name": "posterior"}, "merges by task weights, not by scaling coefficients"),
        ({"domain": "groups"}, {"name": "ties"}, "groups are scaled task vectors"),
    ],
)
def test_a_rule_without_a_place_in_the_domain_is_refused(
    own: Path, front: dict[str, Any], rule: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        _landscape(own, front, rule=rule)


def test_families_without_coordinates_predict_by_interpolating_between_merges(own: Path) -> None:
    landscape, study = _landscape(own, {}, posterior={"family": "diagonal", "damping": 0.1})
    fitted = fit_run(study)
    points = landscape.domain.spread(40)
    found, exact = landscape.predicted_losses(points), fitted.predicted_losses(points)
    assert np.abs(found - exact).max() < 0.01 * np.ptp(exact, axis=0).min()


def test_task_arithmetic_on_the_simplex_is_predicted_too(own: Path) -> None:
    posterior = {"family": "subspace", "settings": {"enrich": "none", "centres": 1}}
    landscape, study = _landscape(own, {}, rule=ARITHMETIC, posterior=posterior)
    points = landscape.domain.spread(3)
    losses = fit_run(study).curvatures.losses.values()
    expected = [[loss.at(model) for loss in losses] for model in landscape.models(points)]
    np.testing.assert_allclose(landscape.predicted_losses(points), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("posterior", "rule"),
    [({"family": "isotropic"}, {}), ({"family": "diagonal"}, ARITHMETIC), ({"family": "diagonal"}, {"name": "ties"})],
)
def test_where_posteriors_say_nothing_nothing_is_predicted(
    own: Path, posterior: dict[str, Any], rule: dict[str, Any]
) -> None:
    assert _landscape(own, {}, posterior=posterior, rule=rule)[0].predicted_losses is None


def test_models_depend_on_what_their_digest_says(own: Path) -> None:
    digests = set()
    for number, changes in enumerate(
        [
            {},
            {"posterior": {"family": "diagonal", "damping": 0.1}},
            {"rule": ARITHMETIC},
            {"rule": {"name": "task_arithmetic", "settings": {"scale": 0.5}}},
            {"front": {"domain": "groups"}},
        ]
    ):
        study = open_study(write_recipe(own, recipe_of(**changes)), own / f"run{number}")
        digests.add(landscape_of(fit_run(study)).digest)
    assert len(digests) == 5
