from __future__ import annotations

import pytest
import torch

from paretomerge.posteriors import Elementwise
from paretomerge.posteriors.elementwise import block_energy, block_log_density


def test_one_precision_for_all_elements_is_the_same_as_one_each(generator):
    mean, theta = torch.randn(2, 3, generator=generator), torch.randn(2, 3, generator=generator)
    single, each = Elementwise(torch.tensor(0.3), mean), Elementwise(torch.full((2, 3), 0.3), mean)
    assert block_energy(single, theta) == pytest.approx(block_energy(each, theta))
    assert block_log_density(single, theta) == pytest.approx(block_log_density(each, theta))


def test_sums_are_taken_in_float64():
    """A million small terms beside a large one: in float32 they would be lost."""
    mean = torch.zeros(1_000_001)
    theta = torch.full((1_000_001,), 1e-3)
    theta[0] = 1e3
    assert block_energy(Elementwise(torch.tensor(2.0), mean), theta) == pytest.approx(1e6 + 1.0, rel=1e-9)
