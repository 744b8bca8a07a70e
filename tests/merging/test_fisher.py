from __future__ import annotations

import pytest
import torch

from paretomerge.errors import PosteriorError
from paretomerge.merging import FisherWeighted, PosteriorMerge, merge
from paretomerge.posteriors import Diagonal, Isotropic

MEANS = {"a": {"w": torch.tensor([0.0, 1.0])}, "b": {"w": torch.tensor([4.0, 2.0])}}
FISHER = {
    "a": Diagonal(MEANS["a"], {"w": torch.tensor([3.0, 0.0])}),
    "b": Diagonal(MEANS["b"], {"w": torch.tensor([1.0, 5.0])}),
}


def test_tasks_count_where_they_are_certain():
    assert merge(FISHER, [0.5, 0.5], rule=FisherWeighted())["w"].tolist() == [1.0, 2.0]


def test_it_is_the_merge_of_the_posteriors_with_a_prior_too():
    prior = Diagonal({"w": torch.zeros(2)}, {"w": torch.tensor([1.0, 2.0])})
    for given, weights in ((None, [[0.3, 0.7], [1.0, 0.0]]), (prior, [[0.3, 0.2], [0.0, 0.0]])):
        found = merge(FISHER, weights, prior=given, rule=FisherWeighted())
        for ours, theirs in zip(found, merge(FISHER, weights, prior=given, rule=PosteriorMerge()), strict=True):
            assert torch.equal(ours["w"], theirs["w"])


def test_a_checkpoint_alone_is_refused_instead_of_averaged():
    with pytest.raises(
        PosteriorError,
        match=r"needs a diagonal posterior of every task, 'a' has an isotropic one \(a checkpoint alone counts as "
        r"that\): fit with the posterior family diagonal \(FitDiagonal\), or give the files",
    ):
        merge(MEANS, [0.5, 0.5], rule=FisherWeighted())
    with pytest.raises(PosteriorError, match="isotropic"):
        merge({task: Isotropic(mean) for task, mean in MEANS.items()}, [0.5, 0.5], rule=FisherWeighted())
