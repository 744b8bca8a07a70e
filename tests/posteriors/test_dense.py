from __future__ import annotations

import pytest
import torch

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import Dense


def test_names_in_another_order_are_refused_since_rows_would_mean_other_parameters():
    one = Dense({"a": torch.zeros(1), "b": torch.zeros(1)}, torch.diag(torch.tensor([1.0, 5.0])))
    other = Dense({"b": torch.zeros(1), "a": torch.zeros(1)}, torch.diag(torch.tensor([5.0, 1.0])))
    with pytest.raises(PosteriorError, match="list their parameters in different orders"):
        one.require_same_kind(other)


def test_a_singular_precision_is_accepted_but_has_no_density(generator):
    posterior = Dense({"w": torch.ones(2)}, torch.diag(torch.tensor([1.0, 0.0])))
    assert posterior.energy({"w": torch.tensor([1.0, 7.0])}) == pytest.approx(-0.5)
    for refused in (lambda: posterior.log_density(posterior.mean), lambda: posterior.sample(generator)):
        with pytest.raises(PosteriorError, match="the precision is not positive definite"):
            refused()


def test_everything_is_kept_in_float64_and_samples_in_the_means_dtype(generator):
    posterior = Dense({"w": torch.zeros(2, dtype=torch.float16)}, torch.eye(2))
    assert posterior.natural().precision.dtype == torch.float64
    assert posterior.natural().precision_mean.dtype == torch.float64
    assert posterior.sample(generator)["w"].dtype == torch.float16
