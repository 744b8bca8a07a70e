from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paretomerge.surrogates.leave_one_out import predict_left_out, quality_of
from paretomerge.surrogates.links import identity_link, sigmoid_link
from paretomerge.surrogates.prediction import predict_latent
from paretomerge.surrogates.regression import Hyperparameters, find_mode

CHOSEN = Hyperparameters(0.6, 0.3, 0.4, 0.05)
PLAIN = Hyperparameters(0.6, 0.0, 1.0, 0.05)


def refitted(regression, chosen):
    """Each score, predicted after fitting to the others."""
    found = []
    for left_out in range(len(regression.values)):
        keep = np.arange(len(regression.values)) != left_out
        fewer = replace(
            regression,
            values=regression.values[keep],
            noise=regression.noise[keep],
            features=regression.features[keep],
            distance=regression.distance[np.ix_(keep, keep)],
        )
        fitted = find_mode(fewer, chosen, regression.link.inverse(fewer.values))
        one = predict_latent(fitted, regression.features[[left_out]], regression.distance[[left_out]][:, keep])
        found.append(regression.link.value(one.mean)[0])
    return np.array(found)


@pytest.mark.parametrize("chosen", [CHOSEN, PLAIN])
@pytest.mark.parametrize(("link", "tolerance"), [(identity_link(), 1e-7), (sigmoid_link(), 5e-3)])
def test_left_out_scores_are_predicted_as_after_refitting(make_regression, chosen, link, tolerance):
    regression, _ = make_regression(link=link, noise=1e-3)
    found = predict_left_out(find_mode(regression, chosen, link.inverse(regression.values)))
    expected = refitted(regression, chosen)
    assert found == pytest.approx(expected, abs=tolerance)
    assert np.abs(expected - regression.values).max() > 10 * tolerance


def test_saturated_scores_have_finite_predictions(make_regression):
    values = np.where(np.arange(12) % 2, 1.0, 0.0)
    regression, _ = make_regression(link=sigmoid_link(), noise=1e-8, values=values)
    found = predict_left_out(find_mode(regression, CHOSEN, regression.link.inverse(values)))
    assert np.isfinite(found).all()


def test_quality_by_hand():
    values = np.array([1.0, 2.0, 4.0])
    assert quality_of(values, np.array([3.0, 2.5, 1.5])) == pytest.approx(1 - (4 + 0.25 + 6.25) / 3 / np.var(values))


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [3.0, 3.0, 3.0, 3.0]])
def test_quality_is_unknown_where_it_cannot_be_computed(values):
    assert np.isnan(quality_of(np.array(values), np.zeros(len(values))))
