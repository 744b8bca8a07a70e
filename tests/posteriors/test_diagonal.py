from __future__ import annotations

import pytest
import torch

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import Diagonal

MEAN = {"w": torch.zeros(2), "b": torch.zeros(1)}


def test_precisions_that_do_not_fit_the_mean_are_refused():
    with pytest.raises(PosteriorError, match="no precision for 'b': give one tensor for each"):
        Diagonal(MEAN, {"w": torch.ones(2)})
    with pytest.raises(PosteriorError, match=r"'w' has mean of shape \(2,\) but precision of shape \(3,\)"):
        Diagonal(MEAN, {"w": torch.ones(3), "b": torch.ones(1)})
    with pytest.raises(PosteriorError, match=r"the precision of 'w' is negative \(lowest -2\)"):
        Diagonal(MEAN, {"w": torch.tensor([1.0, -2.0]), "b": torch.ones(1)})


def test_integers_need_no_precision():
    posterior = Diagonal({"w": torch.ones(2), "n": torch.tensor(3)}, {"w": torch.ones(2)})
    assert posterior.blocks() == ("w",)
    assert posterior.specs["n"].dtype == torch.long


def test_zero_precision_has_an_energy_but_no_samples(generator):
    posterior = Diagonal({"w": torch.ones(2)}, {"w": torch.tensor([1.0, 0.0])})
    assert posterior.energy({"w": torch.tensor([1.0, 9.0])}) == pytest.approx(-0.5)
    assert posterior.log_density({"w": torch.ones(2)}) == -float("inf")
    with pytest.raises(PosteriorError, match="'w' has zero precision somewhere: damp the posterior"):
        posterior.sample(generator)


class Lazy(dict):
    """Reads lazily, as an opened checkpoint does: values are only seen when they are asked for."""

    def __init__(self, tensors):
        super().__init__(tensors)
        self.read = []

    def spec(self, name):
        from paretomerge.types import TensorSpec

        return TensorSpec(tuple(self.get(name).shape), self.get(name).dtype)

    def __getitem__(self, name):
        self.read.append(name)
        return super().__getitem__(name)


def test_lazy_parameters_are_read_when_a_block_is_asked_for_and_checked_then():
    mean, precision = Lazy({"w": torch.ones(2)}), Lazy({"w": torch.tensor([1.0, -1.0])})
    posterior = Diagonal(mean, precision)
    assert not mean.read
    assert not precision.read
    with pytest.raises(PosteriorError, match="is negative"):
        posterior.natural("w")


def test_changing_the_given_mapping_does_not_change_the_posterior():
    mean, precision = {"w": torch.ones(2)}, {"w": torch.ones(2)}
    posterior = Diagonal(mean, precision)
    mean["w"], precision["w"] = torch.zeros(2), torch.zeros(2)
    assert posterior.natural("w").mean.sum() == 2
    assert posterior.natural("w").precision.sum() == 2
