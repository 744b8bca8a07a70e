from __future__ import annotations

import pytest
import torch

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import Isotropic


@pytest.mark.parametrize("precision", [0.0, -1.0, float("nan"), float("inf"), "1"])
def test_the_precision_must_be_positive_and_finite(precision):
    with pytest.raises(PosteriorError, match="the precision of an isotropic posterior must be positive, got"):
        Isotropic({"w": torch.zeros(1)}, precision)


def test_blocks_are_the_floating_point_tensors_in_their_own_dtype():
    posterior = Isotropic({"w": torch.zeros(2, dtype=torch.float16), "n": torch.tensor(3)}, 2.0)
    assert posterior.blocks() == ("w",)
    assert posterior.natural("w").mean.dtype == torch.float16
    assert posterior.natural("w").precision.item() == 2.0
    assert posterior.natural("w").precision.dtype == torch.float32


def test_the_precision_is_part_of_the_digest():
    params = {"w": torch.zeros(1)}
    assert Isotropic(params, 1.0).digest != Isotropic(params, 2.0).digest
