from __future__ import annotations

import pytest
import torch

from paretomerge.problems.image_batches import ImageBatches
from paretomerge.problems.image_forms import ImageForm

FORM = ImageForm(scale=0.5, mean=(1.0, 2.0, 3.0), std=(2.0,))


def test_batches_are_scaled_and_normalised_whenever_they_are_read() -> None:
    pixels = torch.arange(5 * 3 * 2 * 2, dtype=torch.uint8).view(5, 3, 2, 2)
    batches = ImageBatches(pixels, torch.arange(5), 2, FORM)
    expected = (pixels.float() * 0.5 - torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)) / 2
    assert len(batches) == 3
    assert [len(targets) for _, targets in batches] == [2, 2, 1]
    torch.testing.assert_close(torch.cat([inputs for inputs, _ in batches]), expected, rtol=0, atol=0)
    assert torch.equal(torch.cat([targets for _, targets in batches]), torch.arange(5))
    assert torch.equal(batches[-1][0], expected[4:])
    assert [len(targets) for _, targets in batches[1:]] == [2, 1]
    with pytest.raises(IndexError):
        batches[3]


def test_fractions_are_normalised_but_not_scaled() -> None:
    pixels = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    ((inputs, _),) = ImageBatches(pixels, torch.zeros(2), 2, FORM)
    torch.testing.assert_close(inputs, (pixels - torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)) / 2)


def test_images_may_have_a_name() -> None:
    batches = ImageBatches(torch.zeros(1, 3, 2, 2), torch.zeros(1), 2, FORM, "pixel_values")
    assert list(batches[0][0]) == ["pixel_values"]
