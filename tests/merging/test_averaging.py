from __future__ import annotations

import pytest
import torch

from paretomerge.errors import WeightsError
from paretomerge.merging import Averaging, merge
from paretomerge.posteriors import Diagonal, Isotropic

TASKS = {"a": {"w": torch.tensor([1.0])}, "b": {"w": torch.tensor([5.0])}}


def test_only_means_count():
    sure = {task: Diagonal(mean, {"w": torch.tensor([1e6 if task == "a" else 1e-6])}) for task, mean in TASKS.items()}
    assert merge(sure, [0.25, 0.75], rule=Averaging())["w"].item() == 4.0


def test_weights_are_divided_by_their_sum():
    prior = Isotropic({"w": torch.zeros(1)})
    assert merge(TASKS, [0.5, 1.5], prior=prior, rule=Averaging())["w"].item() == 4.0
    with pytest.raises(WeightsError, match="every weight is zero: averaging needs a positive weight"):
        merge(TASKS, [0.0, 0.0], prior=prior, rule=Averaging())


def test_every_weighting_is_divided_by_its_own_sum():
    prior = Isotropic({"w": torch.zeros(1)})
    found = merge(TASKS, [[0.5, 1.5], [0.5, 0.5]], prior=prior, rule=Averaging())
    assert [merged["w"].item() for merged in found] == [4.0, 3.0]
